"""What is due in the next minutes, in the order of its time: the Scheduler's memory.

Bounded: what does not fit stays in MongoDB, where the shards' polls find it, later by one poll.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ResultId

WINDOW_MAX: Final = 200_000


@dataclass(slots=True, kw_only=True)
class DueWindow:
    """A heap of due times. The last word on an item counts; earlier ones are passed over."""

    items_max: int = WINDOW_MAX
    _heap: list[tuple[datetime, ResultId, int]] = field(default_factory=list)
    _items: dict[ResultId, WorkItem] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: Iterable[WorkItem]) -> None:
        """Note when these are due; a newer event number replaces an older."""
        for item in items:
            known = self._items.get(item.result_id)
            if known is not None and known.seq >= item.seq:
                continue
            if known is None and len(self._items) >= self.items_max:
                continue
            self._items[item.result_id] = item
            heapq.heappush(self._heap, (item.due_at, item.result_id, item.seq))

    def take_due(self, now: datetime, limit: int) -> list[WorkItem]:
        """Those whose time has come, the earliest first, at most `limit`."""
        due: list[WorkItem] = []
        while self._heap and self._heap[0][0] <= now and len(due) < limit:
            _, result_id, seq = heapq.heappop(self._heap)
            item = self._items.get(result_id)
            if item is not None and item.seq == seq:
                del self._items[result_id]
                due.append(item)
        return due

    def next_due(self) -> datetime | None:
        """When the earliest is due."""
        return self._heap[0][0] if self._heap else None
