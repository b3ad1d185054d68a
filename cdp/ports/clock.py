"""Time as the platform sees it, so that tests and the simulation can hold it still."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is stored and compared between processes; monotonic for durations."""

    def now(self) -> datetime:
        """The time in UTC, in whole milliseconds: what MongoDB keeps of it."""

    def monotonic(self) -> float:
        """Seconds that never jump, meaningful only as a difference."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        moment = datetime.now(UTC)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()
