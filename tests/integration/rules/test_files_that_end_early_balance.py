"""The batch of a file that has failed or was taken back is closed, with what is really there."""

import asyncio
from collections import deque
from typing import Any

import pytest

from cdp.domain.client import Client
from cdp.domain.file_turn import TRIES_MAX
from cdp.domain.request_file import AHEAD, ENDED, STRETCH, FileState, RequestFile
from cdp.ports.row_intake import Taken
from cdp.services.file_pass import FilePass
from cdp.wiring import Wiring
from tests.integration.deciding import decides, decision
from tests.integration.rules.file_rig import (
    Died,
    as_it_is,
    batch_of,
    ingestion,
    people,
    rested,
    sent,
    shop,
    stored_of,
    table,
    worked,
)
from tests.waiting import eventually

ROWS = 2_500


def in_the_middle(service: Any, then: Any, *, stretch: int = 2) -> Any:
    """Half of a stretch is taken in, and then this happens."""
    true_decide, calls = decision(service), 0

    async def decide(of: RequestFile, rows: Any, *, again: bool) -> Taken:
        nonlocal calls
        calls += 1
        if calls >= stretch:
            await true_decide(of, rows[: len(rows) // 2], again=again)
            await then(of)
        taken: Taken = await true_decide(of, rows, again=again)
        return taken

    decides(service, decide)
    return service


async def closed(rig: Any, wiring: Wiring, file: RequestFile) -> None:
    """Its books are closed, and are those that are verified."""
    assert (await as_it_is(wiring, file)).state in ENDED
    await wiring.file_books().step()
    batch = await batch_of(wiring, file)
    assert batch.accepted == batch.results == await stored_of(wiring, file)
    assert batch.rejected == (await as_it_is(wiring, file)).checkpoint.counts.rejected
    verification = await rig.verify()
    assert verification.violations == ()
    assert verification.batches == 1


@pytest.fixture
async def shopping(rig) -> tuple[Wiring, Client]:
    wiring = rig.process("api")
    return wiring, await shop(rig, wiring)


@pytest.mark.parametrize("dies", [True, False], ids=["who worked on it dies", "it works on"])
async def test_a_file_that_is_taken_back_in_the_middle(rig, shopping, dies):
    wiring, client = shopping
    file = await sent(wiring, client, people(ROWS, broken=100))

    async def taken_back(of: RequestFile) -> None:
        await wiring.file_service().cancel(client.id, of.id)
        # Somebody works on it still, so nobody counts.
        await wiring.file_books().step()
        assert (await batch_of(wiring, of)).accepted is None
        if dies:
            raise Died

    service = in_the_middle(ingestion(wiring), taken_back)
    if dies:
        with pytest.raises(Died):
            await service.step()
        await rested(rig)
    else:
        await service.step()

    await closed(rig, wiring, file)
    # Nothing of what was taken in is missing in what its sender is told.
    ended = await as_it_is(wiring, file)
    results = await table(wiring.file_outputs().results(ended))
    told = [row for row in results if row["state"] == "accepted"]
    assert len(told) == await stored_of(wiring, file) > ended.checkpoint.counts.accepted


async def test_a_file_whose_bytes_went_away_in_the_middle(rig, shopping):
    wiring, client = shopping
    file = await sent(wiring, client, people(ROWS))

    async def lost(of: RequestFile) -> None:
        await wiring.object_store.delete(of.key)
        raise Died

    with pytest.raises(Died):
        await in_the_middle(ingestion(wiring), lost).step()
    failed = await worked(wiring, file)

    assert (failed.state, failed.reason) == (FileState.FAILED, "object_missing")
    assert failed.checkpoint.counts.accepted == 2_000
    assert await stored_of(wiring, file) == 2_250
    await closed(rig, wiring, file)


async def test_a_file_that_can_not_be_read_on(rig, shopping):
    wiring, client = shopping
    file = await sent(wiring, client, people(ROWS) + b'"open')

    failed = await worked(wiring, file)

    assert (failed.state, failed.reason) == (FileState.FAILED, "quote_open")
    assert await stored_of(wiring, file) == ROWS
    await closed(rig, wiring, file)


async def test_a_file_that_is_given_up(rig, shopping):
    wiring, client = shopping
    file = await sent(wiring, client, people(ROWS))

    async def broken(of: RequestFile) -> None:
        raise RuntimeError

    service = in_the_middle(ingestion(wiring), broken)
    for _ in range(TRIES_MAX):
        await service.step()
        await rested(rig)

    assert (await as_it_is(wiring, file)).state is FileState.FAILED
    await closed(rig, wiring, file)


@pytest.mark.parametrize("dies_in", ["count", "finish", "note_batch_closed"])
async def test_whoever_dies_while_closing_books_leaves_them_to_the_next(rig, shopping, dies_in):
    wiring, client = shopping
    file = await sent(wiring, client, people(ROWS) + b'"open')
    await worked(wiring, file)
    books: Any = wiring.file_books()
    part, name = {
        "count": (books._results, "counts_of_batch"),
        "finish": (books._batches, "finish"),
        "note_batch_closed": (books._turns, "note_batch_closed"),
    }[dies_in]

    async def died(*args: Any, **named: Any) -> None:
        raise Died

    true = getattr(part, name)
    setattr(part, name, died)
    with pytest.raises(Died):
        await books.step()
    # Parts of a process may be shared: this is another's.
    setattr(part, name, true)

    await closed(rig, wiring, file)


async def test_rows_that_came_in_after_the_count_are_counted_again(rig, shopping):
    """Who was stalled for longer than its lease goes on with a file that has ended meanwhile."""
    wiring, client = shopping
    file = await sent(wiring, client, people(ROWS))

    async def counted(of: RequestFile) -> None:
        await wiring.file_service().cancel(client.id, of.id)
        await rested(rig)
        await wiring.file_books().step()
        assert (await batch_of(wiring, of)).accepted == 2_250

    await in_the_middle(ingestion(wiring), counted).step()

    assert await stored_of(wiring, file) == ROWS
    await closed(rig, wiring, file)


async def test_what_is_closed_is_not_counted_again(rig, shopping):
    wiring, client = shopping
    file = await sent(wiring, client, people(20) + b'"open')
    await worked(wiring, file)
    assert await wiring.file_turns().count_across_clients(limit=10) == 1

    await wiring.file_books().step()

    assert await wiring.file_turns().count_across_clients(limit=10) == 0
    assert await wiring.file_turns().open_batches_across_clients(limit=10) == []


async def test_what_never_began_has_no_books(rig, shopping):
    wiring, client = shopping
    held = await sent(wiring, client, people(20), is_held=True)
    await wiring.file_service().cancel(client.id, held.id)

    assert await wiring.file_turns().open_batches_across_clients(limit=10) == []


async def test_rows_of_every_stretch_that_was_under_way_are_counted_and_have_their_results(
    rig, shopping
):
    wiring, client = shopping
    file = await sent(wiring, client, people(AHEAD * STRETCH + 10))
    service = ingestion(wiring)
    true_decide, is_in = decision(service), asyncio.Event()

    async def decide(of: RequestFile, rows: Any, *, again: bool) -> Taken:
        if rows[0].number == 1:
            # The one behind it is in by then, and this one never is.
            await is_in.wait()
            await wiring.file_service().cancel(client.id, file.id)
            return Taken(faults={})
        taken = await true_decide(of, rows, again=again)
        is_in.set()
        return taken

    decides(service, decide, ahead=AHEAD)
    await service.step()

    assert await stored_of(wiring, file) == STRETCH
    await closed(rig, wiring, file)
    results = await table(wiring.file_outputs().results(await as_it_is(wiring, file)))
    assert [int(row["row"]) for row in results] == list(range(STRETCH + 1, 2 * STRETCH + 1))


async def test_what_is_being_written_ends_before_anybody_counts(rig, shopping):
    wiring, client = shopping
    file = await sent(wiring, client, people(AHEAD * STRETCH))
    service = ingestion(wiring)
    true_decide, begun, written = decision(service), asyncio.Event(), []

    async def decide(of: RequestFile, rows: Any, *, again: bool) -> Taken:
        if rows[0].number == 1:
            await begun.wait()
            await wiring.file_service().cancel(client.id, file.id)
            return Taken(faults={})
        begun.set()
        # This one is under way when the other finds that the file was taken back.
        await eventually(lambda: of_pass[0]._deciding == deque(), within_s=5)
        taken = await true_decide(of, rows, again=again)
        written.append(len(rows))
        return taken

    of_pass: list[FilePass] = []
    true_init = FilePass.__init__

    def noted(self: FilePass, *given: Any) -> None:
        true_init(self, *given)
        of_pass.append(self)

    decides(service, decide, ahead=AHEAD)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(FilePass, "__init__", noted)
        await service.step()

    assert written == [STRETCH]
    await closed(rig, wiring, file)
