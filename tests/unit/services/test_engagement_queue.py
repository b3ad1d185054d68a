"""What recipients did is recorded in groups, once the time has come, and whatever happens."""

import asyncio
from contextlib import asynccontextmanager

from cdp.domain.event import EventName
from cdp.domain.ids import ResultId
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import SystemClock
from cdp.services.engagement_queue import WAITING_MAX, Engagement, EngagementQueue
from tests.waiting import eventually

CLOCK = SystemClock()
AT = CLOCK.now()


def engagement(number):
    return Engagement(result_id=ResultId(number.to_bytes(16, "big")), name=EventName.OPENED, at=AT)


class Books:
    """Where groups are recorded, unless it is told to fail or to take its time."""

    def __init__(self):
        self.groups = []
        self.failures = 0
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def record(self, group):
        self.begun.set()
        await self.may_end.wait()
        if self.failures:
            self.failures -= 1
            raise OutcomeUnknown
        self.groups.append(list(group))

    @property
    def recorded(self):
        return [each for group in self.groups for each in group]


@asynccontextmanager
async def running(queue):
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_held_is_recorded_later_and_the_rest_does_not_wait_for_it():
    books = Books()
    queue = EngagementQueue(books.record, clock=CLOCK)

    async with running(queue):
        kept_s = CLOCK.monotonic()
        queue.keep(engagement(1), hold_s=0.3)
        queue.keep(engagement(2))
        await eventually(lambda: books.recorded == [engagement(2)] or None, within_s=5)
        await eventually(lambda: len(books.recorded) == 2, within_s=5)

    assert CLOCK.monotonic() - kept_s >= 0.3


async def test_an_end_in_peace_records_what_is_held_and_what_is_just_being_recorded():
    books = Books()
    queue = EngagementQueue(books.record, clock=CLOCK)
    books.may_end.clear()

    async with running(queue) as task:
        queue.keep(engagement(1))
        await books.begun.wait()
        queue.keep(engagement(2), hold_s=60)
        queue.keep(engagement(3))
        task.cancel()
        books.may_end.set()

    assert {e.result_id for e in books.recorded} == {engagement(n).result_id for n in (1, 2, 3)}


async def test_what_could_not_be_recorded_is_tried_again_in_its_order():
    books = Books()
    books.failures = 1
    queue = EngagementQueue(books.record, clock=CLOCK)
    kept = [engagement(n) for n in range(3)]

    async with running(queue):
        for each in kept:
            queue.keep(each)
        await eventually(lambda: books.recorded == kept, within_s=5)


def test_what_finds_no_room_is_counted():
    queue = EngagementQueue(Books().record, clock=CLOCK)

    for _ in range(WAITING_MAX + 3):
        queue.keep(engagement(1))

    assert queue.dropped == 3
