"""No file waits behind another's million rows: files have turns, and clients before files."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from cdp.domain.client import Client
from cdp.domain.file_turn import TURN_S
from cdp.domain.request_file import FileState, RequestFile
from cdp.ports.row_intake import FileRow, Taken
from cdp.services.file_pass import FilePass
from cdp.wiring import Wiring
from tests.integration.deciding import decides, decision
from tests.integration.rules.file_rig import (
    ROWS,
    Died,
    LaterClock,
    as_it_is,
    ingestion,
    people,
    rested,
    sent,
    shop,
    stored_of,
    table,
    worked,
)

STRETCH_S = 30 * TURN_S
"""By the ingestion's clock. So long that the machine's own pace counts for nothing beside it."""


async def nothing() -> None:
    pass


class Turns:
    """An ingestion each of whose stretches takes longer than a turn, and what it has worked on."""

    clock: LaterClock
    wiring: Wiring
    service: Any
    files: list[bytes]
    meanwhile: Callable[[], Awaitable[Any]]

    def __init__(self, rig):
        self.clock = LaterClock()
        self.wiring = rig.process("ingestion", clock=self.clock)
        self.service = ingestion(self.wiring)
        self.files = []
        self.meanwhile = nothing
        self._decide = decision(self.service)
        decides(self.service, self._slowly)

    async def _slowly(self, of: RequestFile, rows: Sequence[FileRow], *, again: bool) -> Taken:
        self.files.append(of.id)
        taken = await self._decide(of, rows, again=again)
        self.clock.ahead_s += STRETCH_S
        now, self.meanwhile = self.meanwhile, nothing
        await now()
        return taken


@pytest.fixture
async def two(rig) -> tuple[Wiring, Client, Client]:
    wiring = rig.process("api")
    shops = [await shop(rig, wiring) for _ in range(2)]
    mine, other = sorted(shops, key=lambda client: client.id)
    return wiring, mine, other


@pytest.mark.parametrize("is_first", [True, False], ids=["lower id", "higher id"])
async def test_a_small_file_of_another_client_waits_for_one_turn_alone(rig, two, is_first):
    wiring, *clients = two
    mine, other = clients if is_first else clients[::-1]
    big = await sent(wiring, mine, people(ROWS, broken=100))
    turns = Turns(rig)
    small: list[RequestFile] = []

    async def one_comes() -> None:
        small.append(await sent(wiring, other, people(10)))

    turns.meanwhile = one_comes
    await turns.service.step()
    put_back = await as_it_is(wiring, big)
    await turns.service.step()

    # At its checkpoint, and nobody holds it.
    assert (put_back.state, put_back.checkpoint.counts.rows) == (FileState.INGESTING, 2_000)
    assert (await as_it_is(wiring, small[0])).state is FileState.DONE
    done = await worked(wiring, big, turns.service)
    assert (done.state, done.checkpoint.counts.rows) == (FileState.DONE, ROWS)
    assert await stored_of(wiring, big) == ROWS - 45
    rejects = await table(wiring.file_outputs().rejects(done))
    assert [int(row["row"]) for row in rejects] == [100 * n for n in range(1, 46)]
    # No stretch was gone through twice.
    assert len(turns.files) == 3 + 1
    assert (await rig.verify()).violations == ()


async def test_a_client_with_many_large_files_has_every_second_turn_beside_one_with_one(rig, two):
    wiring, mine, other = two
    many = [await sent(wiring, mine, people(2_100 + n)) for n in range(5)]
    one = await sent(wiring, other, people(ROWS))
    turns = Turns(rig)

    await worked(wiring, one, turns.service)

    whose = [file_id == one.id for file_id in turns.files]
    assert whose == [False, True] * 3
    # And its own files have turns too, in the order in which they came.
    assert [file_id for file_id in turns.files if file_id != one.id] == [f.id for f in many[:3]]


async def test_files_of_one_client_take_turns_as_well(rig, two):
    wiring, mine, _ = two
    first, second = [await sent(wiring, mine, people(4_001 + n)) for n in range(2)]
    turns = Turns(rig)

    await worked(wiring, first, turns.service)
    await worked(wiring, second, turns.service)

    assert turns.files == [first.id, second.id] * 3


async def test_a_file_that_is_alone_is_gone_through_in_one_go(rig, two):
    wiring, mine, _ = two
    file = await sent(wiring, mine, people(ROWS))

    await Turns(rig).service.step()

    assert (await as_it_is(wiring, file)).state is FileState.DONE


async def test_a_packed_file_has_turns_as_long_as_its_way_back(rig, two):
    wiring, mine, other = two
    packed = await sent(wiring, mine, gzip.compress(people(ROWS)), name="people.csv.gz")
    turns = Turns(rig)
    true_stretches, ways_back = turns.service._tools.source.stretches, 0

    async def stretches(file, begin):
        nonlocal ways_back
        if begin.position is not None:
            ways_back += 1
            # To come back there takes as long as a stretch: the time of four is due.
            turns.clock.ahead_s += STRETCH_S
        async for stretch in true_stretches(file, begin):
            yield stretch

    turns.service._tools.source.stretches = stretches
    turns.meanwhile = lambda: sent(wiring, other, people(2_001))
    for _ in range(3):
        await turns.service.step()

    # One stretch, then the other's, then both that were left, though the other waited.
    assert [file_id == packed.id for file_id in turns.files] == [True, False, True, True]
    assert (await as_it_is(wiring, packed)).state is FileState.DONE
    assert ways_back == 1


async def test_a_strict_file_is_put_back_while_it_is_checked_and_while_it_is_taken_in(rig, two):
    wiring, mine, other = two
    strict = await sent(wiring, mine, people(2_500), is_strict=True)
    await sent(wiring, other, people(ROWS))
    turns = Turns(rig)

    done = await worked(wiring, strict, turns.service)

    assert (done.state, await stored_of(wiring, strict)) == (FileState.DONE, 2_500)
    assert [file_id == strict.id for file_id in turns.files] == [True, False] * 3 + [True]


async def test_a_file_whose_client_is_full_holds_up_nobody_elses(rig, two, monkeypatch):
    wiring, mine, other = two
    full = await sent(wiring, mine, people(50))
    turns = Turns(rig)
    backlog = rig.process("full", backlog_client_max=30).backlog()
    service = turns.wiring.file_ingestion_service(backlog=backlog, hint=lambda _: None)

    async def wait(of: FilePass, seconds: float) -> None:
        turns.clock.ahead_s += STRETCH_S
        await sent(wiring, other, people(10))

    monkeypatch.setattr(FilePass, "_wait", wait)
    await service.step()
    await service.step()

    assert (await as_it_is(wiring, full)).state is FileState.INGESTING
    [theirs] = await wiring.file_service().page(other.id, before=None, limit=10)
    assert (theirs.state, theirs.checkpoint.counts.accepted) == (FileState.DONE, 10)
    # Once there is room it goes on, from the middle of its stretch.
    await rested(rig)
    backlog.update(0, {})
    monkeypatch.undo()
    assert (await worked(wiring, full, service)).checkpoint.counts.accepted == 50
    assert await stored_of(wiring, full) == 50


@pytest.mark.parametrize("dies", ["before it is let go", "between looking and letting go"])
async def test_whoever_dies_at_the_end_of_a_turn_costs_a_lease_and_no_row(rig, two, dies):
    wiring, mine, other = two
    file = await sent(wiring, mine, people(ROWS))
    await sent(wiring, other, people(10))
    turns = Turns(rig)
    name = "let_go" if dies == "before it is let go" else "next_across_clients"
    true, calls = getattr(turns.service._turns, name), 0

    async def dying(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if name == "let_go" or calls > 1:
            raise Died
        return await true(*args, **named)

    setattr(turns.service._turns, name, dying)
    # As if killed: nothing lets the file go.
    turns.service._turns.let_go = dying if name == "let_go" else died
    with pytest.raises(Died):
        await turns.service.step()
    held = await as_it_is(wiring, file)
    another = ingestion(wiring)
    while await another.step():
        pass

    assert held.checkpoint.counts.rows == 2_000
    assert (await as_it_is(wiring, file)).checkpoint.counts.rows == 2_000
    await rested(rig)
    assert (await worked(wiring, file, another)).state is FileState.DONE
    assert await stored_of(wiring, file) == ROWS
    assert (await rig.verify()).violations == ()


async def died(*args: Any, **named: Any) -> None:
    raise Died


async def test_two_that_work_at_once_share_the_files_of_all_and_double_no_row(rig, two):
    wiring, *clients = two
    files = [
        await sent(wiring, client, people(2_100 + n)) for n, client in enumerate(clients * 2)
    ]  # fmt: skip
    workers = [Turns(rig) for _ in range(2)]

    async def work(turns: Turns) -> None:
        while await turns.service.step():
            pass

    await asyncio.gather(*(work(turns) for turns in workers))

    for n, file in enumerate(files):
        done = await as_it_is(wiring, file)
        assert (done.state, done.checkpoint.counts.accepted) == (FileState.DONE, 2_100 + n)
        assert await stored_of(wiring, file) == 2_100 + n
    assert all(turns.files for turns in workers)
    assert (await rig.verify()).violations == ()
