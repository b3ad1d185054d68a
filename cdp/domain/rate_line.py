"""What a shard has just heard of limited rates, so that it need not ask for each message.

A backlog that is far beyond its rate would otherwise pass through rendering and a worker once
before it waits, and hold up what its client sends beside it. It is a guess that costs nothing if it
is wrong: whoever comes back asks for the budget, and after a moment somebody asks anyway.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.rate_budget import WAIT_MAX_S

FRESH_S: Final = 2.0
"""How long what was heard is taken for true."""
NEAR_S: Final = 10.0
"""Who would wait less than this asks."""
KINDS_MAX: Final = 1_000


@dataclass(slots=True)
class _Line:
    ends: datetime
    step: timedelta
    heard: datetime


@dataclass(slots=True)
class RateLines:
    """The lines of messages of one kind: of a client, channel, campaign and segment."""

    _lines: dict[Hashable, _Line] = field(default_factory=dict)

    def hear(self, kind: Hashable, *, turn_at: datetime, step_s: float, now: datetime) -> None:
        """One of this kind was told to come back at this time, each further one a step later."""
        line = self._lines.get(kind)
        if line is None:
            if len(self._lines) >= KINDS_MAX:
                self._lines.clear()
            line = self._lines[kind] = _Line(turn_at, timedelta(), now)
        line.step = timedelta(seconds=step_s)
        line.ends, line.heard = max(line.ends, turn_at + line.step), now

    def turn_of(self, kind: Hashable, now: datetime) -> datetime | None:
        """When one more of this kind may come back; None if it is to ask now."""
        line = self._lines.get(kind)
        if line is None or (now - line.heard).total_seconds() > FRESH_S:
            return None
        if (line.ends - now).total_seconds() < NEAR_S:
            return None
        turn_at = min(line.ends, now + timedelta(seconds=WAIT_MAX_S))
        line.ends = turn_at + line.step
        return turn_at
