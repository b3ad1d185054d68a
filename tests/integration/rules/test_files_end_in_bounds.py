"""A file that can't go on has an end that says why; an outage is none, and nobody else waits."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from cdp.domain.file_turn import TRIES_MAX
from cdp.domain.request_file import FileState, RequestFile
from cdp.errors import OutcomeUnknown
from cdp.ports.object_store import StoreUnavailable
from cdp.ports.row_intake import FileRow, Taken
from cdp.services.file_ingestion_service import FileIngestionService
from cdp.wiring import Wiring
from tests.integration.deciding import decides, decision
from tests.integration.rules.file_rig import (
    as_it_is,
    batch_of,
    ingestion,
    people,
    rested,
    sent,
    shop,
    stored_of,
    worked,
)


class Bug(Exception):
    """Nobody thought of this. It says nobody@example.org, which no log may show."""


def failing(service: FileIngestionService, file: RequestFile, error: Exception, *, from_row: int):
    """Let the work on this file end so from a row on; what ends it, to be taken away."""
    true_decide, faults = decision(service), [error]

    async def decide(of: RequestFile, rows: Sequence[FileRow], *, again: bool) -> Taken:
        if of.id == file.id and faults and rows[-1].number >= from_row:
            await true_decide(of, rows[: len(rows) // 2], again=again)
            raise faults[0]
        return await true_decide(of, rows, again=again)

    decides(service, decide)
    return faults


async def rests_s(rig: Any, wiring: Wiring, file: RequestFile) -> float:
    """For how long nobody will try it."""
    document = await rig.admin["files"].find_one({"_id": file.id})
    rest: timedelta = document["lease_until"] - document["turned_at"]
    return rest.total_seconds()


async def test_a_file_that_meets_a_bug_is_given_up_after_tries_that_lie_ever_further_apart(
    rig, caplog
):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(4_500))
    service = ingestion(wiring)
    failing(service, file, Bug(), from_row=2_001)
    rests = []

    for _ in range(TRIES_MAX):
        assert (await as_it_is(wiring, file)).state in (FileState.WAITING, FileState.INGESTING)
        assert await service.step()
        rests.append(await rests_s(rig, wiring, file))
        # It rests, and so there is nothing to do.
        assert not await service.step()
        await rested(rig)

    after = await as_it_is(wiring, file)
    assert (after.state, after.reason) == (FileState.FAILED, "internal_error")
    assert after.detail is not None
    assert "Rows up to 2,000 are decided on" in after.detail
    assert rests[:4] == [1.0, 2.0, 4.0, 8.0]
    assert rests[:-1] == sorted(rests[:-1])
    assert not await service.step()
    assert file.id.hex() in str([vars(record) for record in caplog.records])
    assert "nobody@" not in str([vars(record) for record in caplog.records])


async def test_steps_ahead_wipe_out_the_tries_before(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(4_500))
    service = ingestion(wiring)
    faults = failing(service, file, Bug(), from_row=1)

    for _ in range(TRIES_MAX - 1):
        await service.step()
        await rested(rig)
    assert (await as_it_is(wiring, file)).tries == TRIES_MAX - 1
    faults.clear()
    second = failing(service, file, Bug(), from_row=2_001)
    await service.step()
    await rested(rig)

    assert (await as_it_is(wiring, file)).tries == 1
    second.clear()
    assert (await worked(wiring, file, service)).state is FileState.DONE
    assert await stored_of(wiring, file) == 4_500


async def test_a_file_in_trouble_holds_up_nobody_elses(rig):
    wiring = rig.process("api")
    client, other = await shop(rig, wiring), await shop(rig, wiring)
    file = await sent(wiring, client, people(30))
    service = ingestion(wiring)
    failing(service, file, Bug(), from_row=1)
    theirs = await sent(wiring, other, people(10))
    mine = await sent(wiring, client, people(20))

    for _ in range(3):
        await service.step()

    for each in (theirs, mine):
        assert (await as_it_is(wiring, each)).state is FileState.DONE
    assert (await as_it_is(wiring, file)).tries == 1


async def test_a_file_whose_client_is_gone_has_failed_in_the_end(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(30))
    await rig.admin["clients"].delete_one({"_id": client.id})
    service = ingestion(rig.process("ingestion"))

    for _ in range(TRIES_MAX):
        await service.step()
        await rested(rig)

    after = await as_it_is(wiring, file)
    assert (after.state, after.reason) == (FileState.FAILED, "client_gone")
    assert after.detail is not None
    assert "ask the platform's operator" in after.detail
    assert await stored_of(wiring, file) == 0


@pytest.mark.parametrize("error", [OutcomeUnknown(), StoreUnavailable()], ids=["mongodb", "store"])
async def test_an_outage_never_counts_against_a_file_however_long_it_lasts(rig, error):
    wiring = rig.process("api")
    client, other = await shop(rig, wiring), await shop(rig, wiring)
    file = await sent(wiring, client, people(4_500))
    service = ingestion(wiring)
    faults = failing(service, file, error, from_row=2_001)
    rests = []

    for _ in range(TRIES_MAX + 3):
        await service.step()
        rests.append(await rests_s(rig, wiring, file))
        await rested(rig)
    waits = await as_it_is(wiring, file)
    theirs = await sent(wiring, other, people(10))
    for _ in range(2):
        await service.step()

    assert (waits.state, waits.tries) == (FileState.INGESTING, 0)
    assert rests == sorted(rests)
    assert (rests[0], rests[-1]) == (1.0, 300.0)
    assert (await as_it_is(wiring, theirs)).state is FileState.DONE
    faults.clear()
    await rested(rig)
    done = await worked(wiring, file, service)
    assert (done.state, done.outages) == (FileState.DONE, 0)
    assert await stored_of(wiring, file) == 4_500


async def test_a_file_goes_on_when_mongodb_is_back(rig):
    """The real thing: not even the note that it has to wait can be stored."""
    wiring, away = rig.process("api"), rig.process("away")
    client = await shop(rig, wiring)
    file = await sent(wiring, client, people(50))
    service = ingestion(away)
    commands = ["insert", "update", "find", "aggregate", "findAndModify"]

    before = await rig.times_entered()
    async with rig.failing(commands, app="away", mode={"skip": 4}, errorCode=91):
        for _ in range(3):
            try:
                await service.step()
            except OutcomeUnknown:
                continue
    assert await rig.times_entered() > before
    await rested(rig)
    done = await worked(wiring, file, service)

    assert (done.state, done.checkpoint.counts.accepted) == (FileState.DONE, 50)
    assert (await batch_of(wiring, file)).accepted == await stored_of(wiring, file) == 50
