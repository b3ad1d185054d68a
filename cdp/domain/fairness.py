"""Fair turns between clients: deficit round robin, in which every item costs one.

A client's million waiting messages delay another client's single one by at most one quantum of
each client that waits.
"""

from collections import OrderedDict, deque
from typing import Final, Generic, TypeVar

T = TypeVar("T")

QUANTUM: Final = 25


class FairQueue(Generic[T]):
    """Items by client. Each client's are first in, first out; the clients take turns."""

    def __init__(self, *, quantum: int = QUANTUM) -> None:
        assert quantum >= 1
        self._quantum = quantum
        self._clients: OrderedDict[bytes, deque[T]] = OrderedDict()
        self._left = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def waiting_of(self, client_id: bytes) -> int:
        """How many items of this client wait."""
        return len(self._clients.get(client_id, ()))

    def clients(self) -> list[bytes]:
        """Who has something waiting, in the order of their turns."""
        return list(self._clients)

    def heads(self) -> list[T]:
        """Each client's first item."""
        return [items[0] for items in self._clients.values()]

    def put(self, client_id: bytes, item: T) -> None:
        """Add an item behind the client's others; a new client has its turn last."""
        self._clients.setdefault(client_id, deque()).append(item)
        self._size += 1

    def take(self, limit: int) -> list[T]:
        """At most `limit` items, in fair turns. A turn that is cut off goes on at the next call."""
        taken: list[T] = []
        while self._clients and len(taken) < limit:
            client_id, items = next(iter(self._clients.items()))
            if self._left == 0:
                self._left = self._quantum
            count = min(self._left, len(items), limit - len(taken))
            taken.extend(items.popleft() for _ in range(count))
            self._left -= count
            if not items:
                del self._clients[client_id]
                self._left = 0
            elif self._left == 0:
                self._clients.move_to_end(client_id)
        self._size -= len(taken)
        return taken

    def clear(self) -> list[T]:
        """Take everything out."""
        everything = [item for items in self._clients.values() for item in items]
        self._clients.clear()
        self._left = self._size = 0
        return everything
