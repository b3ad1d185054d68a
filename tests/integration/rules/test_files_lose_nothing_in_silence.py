"""What is gone of a file is said to be gone; what is left of one that never was is taken away."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from cdp.domain.ids import ClientId, fresh_id
from cdp.domain.request_file import FileState
from cdp.errors import OutcomeUnknown
from cdp.object_stores.local import LocalObjectStore
from cdp.services.file_sweep import FileSweep
from cdp.storage.request_files import RequestFiles
from cdp.wiring import Wiring
from tests.integration.rules.file_rig import (
    ROWS,
    LaterClock,
    as_it_is,
    people,
    sent,
    shop,
    table,
    worked,
)
from tests.integration.rules.rig import Rig
from tests.integration.verification_world import new_id


def counted(wiring: Wiring, name: str, **labels: str) -> float:
    """A counter of this process."""
    wanted = (f"{name}_total", tuple(sorted(labels.items())))
    return sum(value for *key, value in wiring.telemetry.snapshot() if tuple(key) == wanted)


async def test_rejects_that_are_not_stored_any_more_are_missed_in_the_last_line(rig, caplog):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await worked(wiring, await sent(wiring, client, people(ROWS, broken=50)))
    whole = await table(wiring.file_outputs().rejects(file))
    await wiring.object_store.delete(file.rejects_key(1))

    rejects = await table(wiring.file_outputs().rejects(file))

    assert len(whole) == 90
    *rest, last = rejects
    assert rest == [row for row in whole if not 2_000 < int(row["row"]) <= 4_000]
    assert (last["row"], last["code"]) == ("", "rows_missing")
    assert "1 of its 3 parts are not stored any more" in last["reason"]
    assert "In all 90 rows were rejected" in last["reason"]
    assert counted(wiring, "cdp_file_rows_lost", of="rejects") == 1
    assert file.id.hex() in str([vars(record) for record in caplog.records])


async def test_results_that_are_not_kept_any_more_are_missed_in_the_last_line(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await worked(wiring, await sent(wiring, client, people(1_200, broken=100)))
    whole = await table(wiring.file_outputs().results(file))
    ids = [wiring.file_outputs().result_id(file, number) for number in (7, 1_001)]
    await rig.admin["delivery_results"].delete_many({"_id": {"$in": ids}})

    *rest, last = await table(wiring.file_outputs().results(file))

    assert len(whole) == len(rest) == 1_200
    assert (last["row"], last["state"]) == ("", "rows_missing")
    assert "results of 2 rows above" in last["failure_reason"]
    assert counted(wiring, "cdp_file_rows_lost", of="results") == 1


async def test_a_strict_file_of_which_nothing_was_sent_lacks_nothing(rig):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    file = await worked(wiring, await sent(wiring, client, people(50, broken=50), is_strict=True))

    results = await table(wiring.file_outputs().results(file))

    assert file.state is FileState.FAILED
    assert {row["state"] for row in results} == {"rejected"}


class Sweeping:
    """A process that sweeps, some days ahead."""

    def __init__(self, rig: Rig) -> None:
        self.clock = LaterClock()
        self.wiring = rig.process("supervisor", clock=self.clock)
        self.sweep = self.wiring.file_sweep()

    async def run(self, *, days: float = 2) -> int:
        self.clock.ahead_s = timedelta(days=days).total_seconds()
        return await self.sweep.run()


@pytest.fixture
async def sweeping(rig: Rig) -> Sweeping:
    sweeping = Sweeping(rig)
    # What the tests before have left, whose files are gone with their database.
    while await sweeping.run():
        pass
    return sweeping


async def orphans(wiring: Wiring, count: int) -> list[str]:
    """Sources whose files were never stored."""

    async def content() -> AsyncIterator[bytes]:
        yield b"email\r\na@example.org\r\n"

    keys = []
    for _ in range(count):
        key = f"files/{new_id().hex()}/{fresh_id(wiring.clock.now(), os.urandom).hex()}/source"
        await wiring.object_store.put(key, content(), size_max=100)
        keys.append(key)
    return keys


async def test_what_mongodb_never_heard_of_is_taken_away_after_a_day(rig, sweeping):
    wiring, away = rig.process("api"), rig.process("away")
    client = await shop(rig, wiring)
    kept = await sent(wiring, client, people(10))
    async with rig.failing(["insert"], app="away", errorCode=91):
        with pytest.raises(OutcomeUnknown):
            await sent(away, client, people(20))
    [*stored] = await wiring.object_store.page(f"files/{client.id.hex()}/", after=None, limit=9)
    assert len(stored) == 2

    assert await sweeping.run(days=0.9) == 0
    assert await sweeping.run(days=1.1) == 1

    [left] = await wiring.object_store.page(f"files/{client.id.hex()}/", after=None, limit=9)
    assert left.key == kept.key
    assert counted(sweeping.wiring, "cdp_files_swept") >= 1
    assert (await worked(wiring, kept)).state is FileState.DONE


async def test_no_object_that_a_file_names_is_ever_taken_away(rig, sweeping):
    wiring = rig.process("api")
    client = await shop(rig, wiring)
    done = await worked(wiring, await sent(wiring, client, people(300, broken=3)))
    held = await sent(wiring, client, people(20), is_held=True)
    await orphans(wiring, 1)

    assert await sweeping.run(days=400) == 1

    assert await wiring.object_store.look(held.key) is not None
    assert await wiring.object_store.look(done.key) is not None
    assert len(await table(wiring.file_outputs().rejects(done))) == 100
    assert (await as_it_is(wiring, held)).state is FileState.HELD


async def test_a_run_is_bounded_and_the_next_one_goes_on(rig, tmp_path):
    clock = LaterClock()
    wiring = rig.process("supervisor", clock=clock)
    wiring.object_store = LocalObjectStore(tmp_path, clock=clock)
    await orphans(wiring, 8)
    clock.ahead_s = timedelta(days=2).total_seconds()
    sweep = FileSweep(
        files=wiring.request_files(),
        store=wiring.object_store,
        clock=clock,
        telemetry=wiring.telemetry,
        page=3,
        pages_max=2,
    )

    assert [await sweep.run() for _ in range(3)] == [6, 2, 0]


async def test_a_page_of_objects_is_one_question_that_reads_what_it_asks_for(rig, sweeping):
    await orphans(rig.process("api"), 5)
    asked: list[int] = []
    true_existing = RequestFiles.existing_across_clients

    class Counting(RequestFiles):
        async def existing_across_clients(self, file_ids):
            asked.append(len(file_ids))
            return await true_existing(self, file_ids)

    sweeping.sweep._files = Counting(sweeping.wiring.database)

    assert await sweeping.run() == 5
    assert asked == [5]


async def test_ids_of_another_form_are_left_alone(rig, sweeping):
    wiring = rig.process("api")

    async def content() -> AsyncIterator[bytes]:
        yield b"x"

    client_id = ClientId(new_id()).hex()
    keys = [f"files/{client_id}/other", f"files/{client_id}/{new_id().hex()}/rejects/00000000"]
    for key in keys:
        await wiring.object_store.put(key, content(), size_max=10)

    assert await sweeping.run() == 0
    for key in keys:
        assert await wiring.object_store.look(key) is not None
        await wiring.object_store.delete(key)
