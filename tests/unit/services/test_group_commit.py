"""Single requests share their writes: who shares with whom, and who waits for nobody."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.ids import ClientId, RequestId
from cdp.errors import OutcomeUnknown
from cdp.services.communication_intake import Accepted, AcceptOutcome, GroupCommit
from tests.waiting import arrives, eventually


def request(number: int) -> CommunicationRequest:
    return CommunicationRequest(
        id=RequestId(number.to_bytes(16, "big")),
        client_id=ClientId(b"c" * 16),
        channel="email",
        recipients=(),
        requested_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


class Store:
    """Keeps the groups that it got; holds each back until it is let go."""

    def __init__(self, *, open_: bool = True) -> None:
        self.groups: list[int] = []
        self.gate = asyncio.Event()
        if open_:
            self.gate.set()

    async def accept(self, requests: Sequence[CommunicationRequest]) -> list[AcceptOutcome]:
        self.groups.append(len(requests))
        await self.gate.wait()
        return [Accepted(request=each, items=()) for each in requests]


class Callers:
    """Those who submit a request each and wait."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit
        self.submitted = 0

    def submit(self, number: int) -> asyncio.Task[AcceptOutcome]:
        """One more."""
        return asyncio.create_task(self._submit(number))

    async def _submit(self, number: int) -> AcceptOutcome:
        self.submitted += 1
        return await self._commit.submit(request(number))

    async def have_submitted(self, count: int) -> None:
        """Wait for so many."""
        await eventually(lambda: self.submitted == count, within_s=2)


async def crowd(commit: GroupCommit, count: int, *, times: int) -> None:
    """So many callers, each of which comes again as soon as it has its answer."""

    async def caller(number: int) -> None:
        for _ in range(times):
            outcome = await commit.submit(request(number))
            assert isinstance(outcome, Accepted)
            assert outcome.request.id == request(number).id
            # Each at another time, as from as many connections.
            await arrives(None, after_s=number % 5 / 1000)

    await asyncio.gather(*(caller(number) for number in range(count)))


async def test_a_lone_request_waits_for_nobody():
    store = Store()
    commit = GroupCommit(store.accept)

    for number in range(3):
        outcome = await asyncio.wait_for(commit.submit(request(number)), GroupCommit.CROWD_WAIT_S)
        assert isinstance(outcome, Accepted)

    assert store.groups == [1, 1, 1]


async def test_what_comes_during_a_flush_shares_the_next():
    store = Store(open_=False)
    commit = GroupCommit(store.accept)
    tasks = [asyncio.create_task(commit.submit(request(0)))]
    await eventually(lambda: store.groups == [1], within_s=2)
    callers = Callers(commit)
    tasks += [callers.submit(number) for number in range(1, 31)]
    await callers.have_submitted(30)
    store.gate.set()

    await asyncio.gather(*tasks)

    assert store.groups == [1, 30]


async def test_a_crowd_that_comes_again_stays_together():
    store = Store()

    await crowd(GroupCommit(store.accept), 40, times=6)

    # The first may have been alone; from then on nobody is left behind.
    assert sum(store.groups) == 240
    assert len(store.groups) <= 8, store.groups


async def test_who_waits_for_a_crowd_that_went_away_waits_for_a_moment_only():
    store = Store()
    commit = GroupCommit(store.accept)
    await crowd(commit, 40, times=1)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await commit.submit(request(99))

    assert loop.time() - began < 10 * GroupCommit.CROWD_WAIT_S


async def test_a_caller_that_goes_away_takes_nobody_with_it():
    store = Store(open_=False)
    commit = GroupCommit(store.accept)
    tasks = [asyncio.create_task(commit.submit(request(number))) for number in range(20)]
    await eventually(lambda: sum(store.groups) > 0, within_s=2)
    tasks[0].cancel()
    tasks[7].cancel()
    store.gate.set()

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert sum(isinstance(each, Accepted) for each in outcomes) == 18
    assert sum(store.groups) == 20


async def test_a_second_flusher_begins_with_a_group_that_is_worth_it():
    store = Store(open_=False)
    commit = GroupCommit(store.accept)
    least = GroupCommit.SECOND_LEAST
    tasks = [asyncio.create_task(commit.submit(request(0)))]
    await eventually(lambda: store.groups == [1], within_s=2)

    callers = Callers(commit)
    tasks += [callers.submit(number) for number in range(1, least)]
    await callers.have_submitted(least - 1)
    assert store.groups == [1]
    tasks.append(asyncio.create_task(commit.submit(request(least))))

    await eventually(lambda: store.groups == [1, least], within_s=2)
    store.gate.set()
    await asyncio.gather(*tasks)


async def test_an_unknown_outcome_is_everybodys():
    async def fails(_: Sequence[CommunicationRequest]) -> list[AcceptOutcome]:
        raise OutcomeUnknown

    commit = GroupCommit(fails)

    outcomes = await asyncio.gather(*(commit.submit(request(number)) for number in range(5)))

    assert all(isinstance(each, OutcomeUnknown) for each in outcomes)


async def test_one_that_can_not_be_stored_fails_alone():
    async def picky(requests: Sequence[CommunicationRequest]) -> list[AcceptOutcome]:
        if any(each.id == request(3).id for each in requests):
            raise TypeError("not this one")
        return [Accepted(request=each, items=()) for each in requests]

    commit = GroupCommit(picky)

    outcomes = await asyncio.gather(*(commit.submit(request(number)) for number in range(6)))

    assert [isinstance(each, Accepted) for each in outcomes] == [True] * 3 + [False] + [True] * 2
