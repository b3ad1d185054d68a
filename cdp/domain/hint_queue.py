"""Hints that wait to be told to the shards, in a bound, and how many go at a time.

Urgent ones go at once. Of a client's bulk no more goes than its shards can deliver until the next
time: what a shard has no room for it refuses, and all of it has cost. What is dropped here, or
refused there, a shard finds in MongoDB.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId
from cdp.domain.lane import is_urgent

SHARE: Final = 120
"""Of one client, for one shard, at a time. Sixteen times a second it is twice what one delivers."""
CLIENT_MAX: Final = 2_000
"""Of one client; a shard holds no more of it either."""
WAITING_MAX: Final = 20_000


@dataclass(slots=True)
class HintQueue:
    """What is to be told."""

    _urgent: list[WorkItem] = field(default_factory=list)
    _bulk: dict[ClientId, deque[WorkItem]] = field(default_factory=dict)
    _bulk_count: int = 0

    def __len__(self) -> int:
        return len(self._urgent) + self._bulk_count

    def put(self, items: Iterable[WorkItem]) -> bool:
        """Note the items, as far as there is room; whether any of them is urgent."""
        any_urgent = False
        for item in items:
            if is_urgent(item.lane):
                any_urgent = True
                if len(self._urgent) < WAITING_MAX:
                    self._urgent.append(item)
                continue
            waiting = self._bulk.get(item.client_id)
            if waiting is None:
                waiting = self._bulk[item.client_id] = deque()
            if len(waiting) < CLIENT_MAX and self._bulk_count < WAITING_MAX:
                waiting.append(item)
                self._bulk_count += 1
        return any_urgent

    def take(self, shards: int) -> list[WorkItem]:
        """What goes now to so many shards; of each client what came first."""
        taken, self._urgent = self._urgent, []
        for client_id, waiting in list(self._bulk.items()):
            share = min(len(waiting), SHARE * shards)
            taken.extend(waiting.popleft() for _ in range(share))
            self._bulk_count -= share
            if not waiting:
                del self._bulk[client_id]
        return taken
