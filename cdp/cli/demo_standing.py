"""How the demonstration stands while it runs: numbers that the tasks set and the screen shows."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PENDING: Final = ("scheduled", "waiting", "in_flight", "retrying")
STATES: Final = ("delivered", "undeliverable", "cancelled", "expired", "suppressed")
RATE_WINDOW_S: Final = 3.0


@dataclass(slots=True, kw_only=True)
class SenderStanding:
    """What one sender sends on one channel."""

    planned: int
    posted: int = 0
    accepted: int = 0
    rejected: int = 0
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    pending_by: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PENDING, 0))
    arrived: int = 0
    """Messages of it that are in the mailbox."""
    all_posted: bool = False

    @property
    def finished(self) -> int:
        """Those that have a final state."""
        return sum(self.states.values())

    @property
    def pending(self) -> int:
        """Those that were accepted and have none."""
        return self.accepted - self.finished

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to come any more."""
        return self.all_posted and self.pending == 0

    def count(self, books: Iterable[Mapping[str, Any]]) -> None:
        """Take the counts that the API gives for a batch, summed over the batches."""
        states, pending_by = dict.fromkeys(STATES, 0), dict.fromkeys(PENDING, 0)
        for counts in books:
            for name in STATES:
                states[name] += counts.get(name, 0)
            for name in PENDING:
                pending_by[name] += counts["pending_by"].get(name, 0)
        self.states, self.pending_by = states, pending_by


class Rate:
    """Something per second, over the last seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def note(self, at: float, total: int) -> None:
        """The total at a moment."""
        self._points.append((at, total))
        while self._points[0][0] < at - RATE_WINDOW_S:
            self._points.popleft()

    @property
    def per_s(self) -> float:
        """The rate now."""
        if len(self._points) < 2:
            return 0.0
        (begin, before), (end, after) = self._points[0], self._points[-1]
        return (after - before) / (end - begin) if end > begin else 0.0


@dataclass(slots=True, kw_only=True)
class Standing:
    """All of it."""

    shop: SenderStanding
    """The campaign's emails."""
    webhooks: SenderStanding
    """Its webhooks."""
    bank: SenderStanding
    accept_rate: Rate = field(default_factory=Rate)
    arrive_rate: Rate = field(default_factory=Rate)
    urgent_s: list[float] = field(default_factory=list)
    """From accept to inbox, of each of the bank's messages."""
    opened: int = 0
    clicked: int = 0
    follow_failed: int = 0
    """Pixels and links that were not answered as they should."""
    to_read: int = 0
    """Messages that the reader has chosen and not looked at yet."""

    @property
    def senders(self) -> tuple[SenderStanding, ...]:
        """All of them."""
        return self.shop, self.webhooks, self.bank

    def tick(self, at: float) -> None:
        """Note the totals of this moment, for the rates."""
        self.accept_rate.note(at, sum(sender.accepted for sender in self.senders))
        self.arrive_rate.note(at, sum(sender.arrived for sender in self.senders))

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to come any more."""
        return self.to_read == 0 and all(sender.is_settled for sender in self.senders)
