"""How fast messages may go: budgets of so many a second, and who waits for how long.

A budget is kept by the generic cell rate algorithm (ITU-T I.371, annex A): one moment, up to which
it is spent, says all. Who finds nothing left is told when to come back, so that a backlog does not
ask again and again, and is then served before those that come new.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from cdp.domain.record import record

RATE_LEAST: Final = 0.001
RATE_MOST: Final = 100_000.0
"""Messages a second that a limit may be."""
BURST_S: Final = 1.0
"""What was not spent in so many seconds may be spent at once."""
ROUNDING: Final = 1e-4
"""The part of a message by which a time may be too early: a float of today has 0.2 us."""
WAIT_MAX_S: Final = 3_600.0
"""No message waits longer before it asks again: a rate that is raised counts by then for all."""


class Turn(IntEnum):
    """Who is served first."""

    URGENT = 0
    RETURNING = 1
    """Was told to come back, and has."""
    NEW = 2


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many messages a second of all that share a budget."""

    key: str
    """Whose budget it is."""
    per_s: float

    @property
    def interval_s(self) -> float:
        """The time that one message takes up."""
        return 1.0 / self.per_s


@record
class Want:
    """Messages that go by the same limits, and would go now."""

    limits: tuple[RateLimit, ...]
    count: int
    turn: Turn


@record
class Grant:
    """How many may go; when the others may ask again, each a step after the other."""

    count: int
    wait_s: float = 0.0
    step_s: float = 0.0
    short: frozenset[str] = frozenset()
    """The keys of the budgets that had too little."""

    def wait_of(self, index: int) -> float:
        """The wait of the one of this index, from 0, among those that may not go."""
        return min(self.wait_s + index * self.step_s, WAIT_MAX_S)


@dataclass(slots=True)
class _Budget:
    """One key's state; its moments are seconds since the epoch."""

    spent_to: float = 0.0
    lines: list[float] = field(default_factory=lambda: [0.0] * len(Turn))
    """When those of each turn that were told to wait will all have gone."""

    def left(self, now: float, limit: RateLimit) -> int:
        """How many may go at this moment: a burst at most, and one at least of a full budget."""
        ahead_s = max(BURST_S, limit.interval_s)
        free_s = now + ahead_s - max(self.spent_to, now)
        return max(0, int(free_s / limit.interval_s + ROUNDING))

    def spend(self, now: float, limit: RateLimit, count: int) -> None:
        self.spent_to = max(self.spent_to, now) + count * limit.interval_s

    def lets(self, turn: Turn, now: float) -> bool:
        """Whether nobody stands before those that come in this turn."""
        before = self.lines[: turn + 1] if turn is Turn.NEW else self.lines[:turn]
        return all(line <= now for line in before)

    def join(self, now: float, limit: RateLimit, want: Want, count: int) -> float:
        """Stand in line with so many; in how many seconds the first of them may go."""
        ahead_s = max(BURST_S, limit.interval_s)
        free_at = max(self.spent_to, now) + limit.interval_s - ahead_s
        start = max(free_at, now + limit.interval_s, *self.lines[: want.turn + 1])
        end = start + count * limit.interval_s
        self.lines[want.turn] = min(end, now + WAIT_MAX_S)
        return start - now

    def is_idle(self, now: float) -> bool:
        return max(self.spent_to, *self.lines) <= now


@dataclass(slots=True)
class RateBook:
    """All budgets of one pool. Pure: the time comes from outside."""

    _budgets: dict[str, _Budget] = field(default_factory=dict)

    def unknown(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that were not met yet: what of them is spent must be looked up."""
        return set(keys) - self._budgets.keys()

    def learn(self, spent_to: Mapping[str, float]) -> None:
        """Take in up to when budgets are spent."""
        for key, moment in spent_to.items():
            self._budgets[key] = _Budget(spent_to=moment)

    def spent_to(self, key: str) -> float:
        """Up to when a budget is spent."""
        return self._budgets[key].spent_to

    def spend(self, want: Want, now: float) -> Grant:
        """Give as much as every budget has, and tell the rest when to come back.

        What waits stands in line only where there is too little for it, so that nobody waits for
        those who are kept by another budget.
        """
        budgets = [(limit, self._budgets[limit.key]) for limit in want.limits]
        left = [
            budget.left(now, limit) if budget.lets(want.turn, now) else 0
            for limit, budget in budgets
        ]
        granted = min((want.count, *left))
        for limit, budget in budgets:
            budget.spend(now, limit, granted)
        rest = want.count - granted
        if not rest:
            return Grant(count=granted)
        short = [pair for pair, count in zip(budgets, left, strict=True) if count < want.count]
        return Grant(
            count=granted,
            wait_s=max(budget.join(now, limit, want, rest) for limit, budget in short),
            step_s=max(limit.interval_s for limit, _ in short),
            short=frozenset(limit.key for limit, _ in short),
        )

    def forget_idle(self, now: float) -> None:
        """Drop the budgets that are as full as those that nobody has met."""
        self._budgets = {k: b for k, b in self._budgets.items() if not b.is_idle(now)}

    def __len__(self) -> int:
        return len(self._budgets)
