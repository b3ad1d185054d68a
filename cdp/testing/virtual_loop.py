"""An event loop whose time stands still until nothing is left to do, and then jumps.

An hour of sleeping costs nothing, and with a seeded source of delays everything happens in the
same order again. There are no sockets, threads or signals in it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

BEGINNING: Final = datetime(2030, 1, 1, tzinfo=UTC)
_RESOLUTION_S: Final = 1e-6


class NothingLeftToDo(Exception):
    """Everybody waits for somebody else, and no timer will wake them."""


class _Jump:
    """Stands where a loop's selector does: instead of waiting it moves the time on."""

    def __init__(self) -> None:
        self.moment = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise NothingLeftToDo
        if timeout > 0:
            self.moment += timeout
        return []

    def close(self) -> None:
        """Nothing is open."""


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own loop, with a time of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Jump()
        self._clock_resolution = _RESOLUTION_S

    def time(self) -> float:
        """Seconds since the simulation began."""
        return self._selector.moment

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is no other thread that could be heard."""


class VirtualClock:
    """`Clock` in the loop's time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """See `Clock.now`."""
        return BEGINNING + timedelta(milliseconds=int(self._loop.time() * 1000))

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._loop.time()
