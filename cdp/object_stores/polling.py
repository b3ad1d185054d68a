"""New objects found by listing the store over and over: for a folder, and where nobody notifies."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cdp.ports.arrivals import Arrival
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore, StoredObject, checked_prefix

PAGE: Final = 1000
REMEMBERED_MAX: Final = 100_000
"""Objects under the prefix that are known at once: some 30 MB of memory."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    version: str
    seen_in: int
    """The last round that found it."""
    again_at: float | None
    """When it is told again; None when it is done."""


class PollingArrivals:
    """See `Arrivals`. What was told is remembered in memory, for as long as the object is there:
    whoever takes an arrival deletes it or puts it elsewhere, so that the list stays short.

    One task asks; who else wants to know of new objects has a watch of its own. An object that is
    replaced is new, if its size or the time when it was stored differs.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        prefix: str,
        clock: Clock,
        poll_s: float = 5.0,
        again_after_s: float = 300.0,
        remembered_max: int = REMEMBERED_MAX,
    ) -> None:
        """A watch that has seen nothing yet: all that is there is new.

        Args:
            store: whose objects; it stays the caller's to close.
            prefix: what their keys begin with.
            clock: for pauses.
            poll_s: between two rounds that found nothing.
            again_after_s: when an object is told again that is not done.
            remembered_max: what there is beyond that is told in each round, done or not.
        """
        self._store = store
        self._prefix = checked_prefix(prefix)
        self._clock = clock
        self._poll_s = poll_s
        self._again_after_s = again_after_s
        self._remembered_max = remembered_max
        self._known: dict[str, _Known] = {}
        self._after: str | None = None
        self._round = 0
        self._unremembered = 0

    async def next(self, *, limit: int, wait_s: float) -> list[Arrival]:
        """See `Arrivals.next`."""
        assert limit > 0
        give_up_at = self._clock.monotonic() + wait_s
        while True:
            found = await self._look_through(limit)
            left_s = give_up_at - self._clock.monotonic()
            if found or left_s <= 0:
                return found
            await asyncio.sleep(min(self._poll_s, left_s))

    async def _look_through(self, limit: int) -> list[Arrival]:
        """What the rest of this round finds, or else a whole one."""
        found: list[Arrival] = []
        for _ in range(2):
            began_at = self._after
            ended = False
            while not ended:
                page = await self._store.page(self._prefix, after=self._after, limit=PAGE)
                for stored in page:
                    self._after = stored.key
                    if (arrival := self._told(stored)) is not None:
                        found.append(arrival)
                        if len(found) == limit:
                            return found
                ended = len(page) < PAGE
            self._end_round()
            if found or began_at is None:
                break
        return found

    def _told(self, stored: StoredObject) -> Arrival | None:
        """An arrival, if it is to be told now."""
        version = f"{stored.size} {stored.stored_at.isoformat()}"
        known = self._known.get(stored.key)
        now = self._clock.monotonic()
        if known is not None and known.version == version:
            known.seen_in = self._round
            if known.again_at is None or now < known.again_at:
                return None
        if known is not None or len(self._known) < self._remembered_max:
            self._known[stored.key] = _Known(version, self._round, now + self._again_after_s)
        else:
            # To forget another for it would make all of them new, each in its turn.
            self._unremembered += 1
        return Arrival(key=stored.key, receipt=version)

    def _end_round(self) -> None:
        gone = [key for key, known in self._known.items() if known.seen_in < self._round]
        for key in gone:
            del self._known[key]
        if self._unremembered:
            log.warning(
                "More objects are there than are remembered", extra={"more": self._unremembered}
            )
        self._unremembered = 0
        self._after = None
        self._round += 1

    async def done(self, arrivals: Sequence[Arrival]) -> None:
        """See `Arrivals.done`."""
        for arrival in arrivals:
            known = self._known.get(arrival.key)
            # It may have been replaced meanwhile, which is another arrival.
            if known is not None and known.version == arrival.receipt:
                known.again_at = None

    async def close(self) -> None:
        """See `Arrivals.close`. It has none of its own."""
