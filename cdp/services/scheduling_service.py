"""The scheduling half of the Queueing Service: looks ahead, and names what is due on the second.

It writes nothing. What it forgets when it dies is found again by its first look, or at the
latest by a shard's poll.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.delivery_result import WorkItem
from cdp.domain.due_window import DueWindow
from cdp.ports.clock import Clock
from cdp.storage.delivery_results import DeliveryResults

HORIZON: Final = timedelta(seconds=60)
LOOK_BACK: Final = timedelta(seconds=30)
"""How far each look overlaps the last: for what was scheduled meanwhile and whose note was lost."""
PAGE: Final = 5_000
DUE_MAX: Final = 2_000


class SchedulingService:
    """Keeps the window of what is due soon."""

    def __init__(self, *, results: DeliveryResults, clock: Clock) -> None:
        self._results = results
        self._clock = clock
        self._window = DueWindow()
        self._seen_to: datetime | None = None

    def note(self, items: Iterable[WorkItem]) -> None:
        """Take in what a shard has just scheduled, if it is due within the horizon."""
        until = self._clock.now() + HORIZON
        self._window.add(item for item in items if item.due_at <= until)

    async def look_ahead(self) -> int:
        """Read what is due from now to the horizon and is not known; how much was read."""
        now = self._clock.now()
        until = now + HORIZON
        read = await self._read(now - LOOK_BACK, now + LOOK_BACK / 3)
        start = max(self._seen_to or now, now)
        read += await self._read(start, until)
        self._seen_to = until
        return read

    async def _read(self, after: datetime, until: datetime) -> int:
        read = 0
        while after < until and len(self._window) < self._window.items_max:
            items = await self._results.scheduled_across_clients(
                after=after, until=until, limit=PAGE
            )
            self._window.add(items)
            read += len(items)
            if len(items) < PAGE:
                break
            # Those of the same millisecond as the last may be cut off: the next page repeats it.
            after = max(
                items[-1].due_at - timedelta(milliseconds=1), after + timedelta(milliseconds=1)
            )
        return read

    def take_due(self) -> list[WorkItem]:
        """What is due now, for the shards."""
        return self._window.take_due(self._clock.now(), DUE_MAX)

    def waiting(self) -> int:
        """How many items the window holds."""
        return len(self._window)
