"""What recipients did, until it is recorded: a bounded queue in memory.

A visitor's answer never waits for MongoDB. A click waits here for `BURST_S`, in which it shows
whether all links of its message were followed at once; a process that is killed loses what waits,
one that ends in peace records it.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cdp.domain.event import EventName
from cdp.domain.ids import ResultId
from cdp.domain.visit import Visit
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import Clock

log = logging.getLogger(__name__)

WAITING_MAX: Final = 20_000
GROUP_MAX: Final = 1_000
RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Engagement:
    """Something a recipient did, as it waits to be recorded."""

    result_id: ResultId
    name: EventName
    at: datetime
    url: str = ""
    visit: Visit | None = None
    """What was seen of the visitor; None where a client's own app says what happened."""
    seen_s: float = field(default=0.0, compare=False)
    """When it came, by the monotonic clock."""


class EngagementQueue:
    """Keeps engagements and hands them on in groups, those first that came first."""

    def __init__(
        self, record: Callable[[Sequence[Engagement]], Awaitable[Any]], *, clock: Clock
    ) -> None:
        """`record` stores a group; after an `OutcomeUnknown` it is given the same once more."""
        self._record = record
        self._clock = clock
        self._ready: list[Engagement] = []
        self._held: deque[tuple[float, Engagement]] = deque()
        self._news = asyncio.Event()
        self.dropped = 0
        """Engagements that found no room while MongoDB was away."""

    def keep(self, engagement: Engagement, *, hold_s: float = 0.0) -> None:
        """Take one in, to be recorded after `hold_s`, the same for all that are held."""
        if len(self._ready) + len(self._held) >= WAITING_MAX:
            self.dropped += 1
            return
        if hold_s:
            self._held.append((self._clock.monotonic() + hold_s, engagement))
        else:
            self._ready.append(engagement)
        self._news.set()

    async def run(self) -> None:
        """Record what comes until cancelled; then what is left."""
        try:
            while True:
                await self._wait()
                self._release(self._clock.monotonic())
                await self._record_ready()
        finally:
            self._release(float("inf"))
            await self._record_ready()

    async def _wait(self) -> None:
        """Until there is news, or what was held longest is due."""
        left_s = self._held[0][0] - self._clock.monotonic() if self._held else None
        if left_s is None or left_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left_s)
        self._news.clear()

    def _release(self, now_s: float) -> None:
        while self._held and self._held[0][0] <= now_s:
            self._ready.append(self._held.popleft()[1])

    async def _record_ready(self) -> None:
        while self._ready:
            group = self._ready[:GROUP_MAX]
            try:
                await self._record(group)
            except OutcomeUnknown:
                log.warning("engagement waits for MongoDB", extra={"events": len(group)})
                self._news.set()
                await asyncio.sleep(RETRY_S)
                return
            # Only now: who is cancelled meanwhile records the same group once more, which is one.
            del self._ready[: len(group)]
