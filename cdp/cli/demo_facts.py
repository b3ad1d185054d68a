"""What came of the demonstration. Pure; `cdp.cli.demo_checks` says whether it adds up.

The facts come from three sides that know nothing of each other: what the API answered to the
senders, what its lists say at the end, and what is in the mailbox.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cdp.cli.demo_plan import Expected, percentile

FINAL: Final = ("delivered", "undeliverable", "cancelled", "expired", "suppressed")

Row = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class SenderFacts:
    """What one sender has sent on one channel, at the end."""

    channel: str
    expected: Expected
    accepted: int = 0
    """Answered 202."""
    rejected: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    """The reasons that were given for those, with how often each was."""
    listed: int = 0
    states: Counter[str] = field(default_factory=Counter)
    by_segment: dict[str, Counter[str]] = field(default_factory=dict)
    """The states once more, by the segment that was named."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why those that failed for good did."""
    retried: int = 0
    scheduled: int = 0
    opened: int = 0
    clicked: int = 0
    arrived: int = 0
    """Different messages of it in the mailbox."""
    strays: int = 0
    """Messages that came to an address of this run, and nobody was told that it was accepted."""
    wait_s: list[float] = field(default_factory=list)
    """From accept to inbox, of what was sent at once and taken at the first attempt."""
    retried_wait_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    """From the time it was scheduled for to the inbox."""
    first_accepted_at: float | None = None
    example: str | None = None
    """The id of the delivered one with the longest story: tried most often, then looked at."""
    example_story: tuple[int, bool, bool] = (0, False, False)

    @property
    def pending(self) -> int:
        """Those without a final state."""
        return self.listed - sum(self.states[name] for name in FINAL)

    def add(self, row: Row, received_at: float | None) -> None:
        """Count one result as the API lists it, with its time in the mailbox if it is there."""
        status, attempts = str(row["status"]), int(row["attempts"])
        created_at = moment_of(row["created_at"])
        self.listed += 1
        self.states[status] += 1
        self.by_segment.setdefault(row["segment"] or "", Counter())[status] += 1
        self.retried += attempts > 1
        self.scheduled += row["send_at"] is not None
        self.opened += was_opened(row)
        self.clicked += was_clicked(row)
        if status == "undeliverable":
            self.reasons[str(row["reason"])] += 1
        first = self.first_accepted_at
        self.first_accepted_at = created_at if first is None else min(first, created_at)
        if received_at is not None:
            self.arrived += 1
            self._wait(row, attempts, created_at, received_at)
        story = (attempts, was_clicked(row), was_opened(row))
        if status == "delivered" and story > self.example_story:
            self.example, self.example_story = str(row["id"]), story

    def _wait(self, row: Row, attempts: int, created_at: float, received_at: float) -> None:
        if attempts > 1:
            self.retried_wait_s.append(received_at - created_at)
        elif row["send_at"] is not None:
            self.late_s.append(received_at - moment_of(row["send_at"]))
        else:
            self.wait_s.append(received_at - created_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFacts:
    """The campaign as the API shows it at the end."""

    name: str
    state: str
    counts: Mapping[str, Any]
    """Its own books."""
    permutations: Sequence[Mapping[str, str]]
    """Which template each segment gets on which channel."""
    closed_at: float | None
    ended_at: float | None


def campaign_facts(view: Row) -> CampaignFacts:
    """What is kept of `/campaigns/{name}`."""
    return CampaignFacts(
        name=str(view["name"]),
        state=str(view["state"]),
        counts=view["counts"],
        permutations=view["permutations"],
        closed_at=None if view["closed_at"] is None else moment_of(view["closed_at"]),
        ended_at=None if view["ended_at"] is None else moment_of(view["ended_at"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the report is made of."""

    shop: SenderFacts
    """The campaign's emails."""
    webhooks: SenderFacts
    """Its webhooks."""
    bank: SenderFacts
    campaign: CampaignFacts
    began_at: float
    """When the command was started; seconds since 1970, as all times here."""
    posting_began_at: float
    posting_ended_at: float
    first_arrival_at: float | None
    last_arrival_at: float | None
    busiest_per_s: int
    """Messages that arrived in the busiest second."""
    doubles: int
    """Messages that arrived once more, under the same Message-ID or webhook-id."""
    opened: int
    clicked: int
    """What the reader did, each message counted once."""
    follow_failed: int
    repeats: int
    """Requests to the API that had to be sent once more."""
    timed_out: bool
    example: str | None
    timeline: Sequence[Row]

    @property
    def senders(self) -> tuple[SenderFacts, ...]:
        """All of them."""
        return self.shop, self.webhooks, self.bank

    @property
    def of_campaign(self) -> tuple[SenderFacts, ...]:
        """Those that post the campaign."""
        return self.shop, self.webhooks

    @property
    def delivered(self) -> int:
        """Of all."""
        return sum(sender.states["delivered"] for sender in self.senders)

    @property
    def delivered_per_s(self) -> float | None:
        """From the first accept to the last arrival."""
        begins = [s.first_accepted_at for s in self.senders if s.first_accepted_at is not None]
        if not begins or self.last_arrival_at is None:
            return None
        return self.delivered / max(self.last_arrival_at - min(begins), 0.001)

    @property
    def accepted_per_s(self) -> float:
        """Of the shop's emails, while it was posting them."""
        return self.shop.accepted / max(self.posting_ended_at - self.posting_began_at, 0.001)

    @property
    def first_arrival_s(self) -> float | None:
        """From the command's start to the first message in the mailbox."""
        return None if self.first_arrival_at is None else self.first_arrival_at - self.began_at


def reason_of(problem: Mapping[str, Any]) -> str:
    """What a problem document says: its first field error with the pointer, or its detail."""
    for error in problem.get("errors", ()):
        return f"{error['pointer'] or 'body'}: {error['detail']}"
    return str(problem.get("detail", ""))


def moment_of(text: str) -> float:
    """Seconds since 1970 of a time as the API writes it."""
    return datetime.fromisoformat(text).timestamp()


def busiest_second(arrivals: Iterable[float]) -> int:
    """How many there were in the second that had most."""
    return max(Counter(map(int, arrivals)).values(), default=0)


def latency_rows(facts: Facts) -> list[tuple[str, int, float | None, float | None]]:
    """What was measured, how many, half of them within, 99 % within."""
    rows = (
        ("bank: password resets, urgent", facts.bank.wait_s + facts.bank.retried_wait_s),
        ("shop: webhooks, in bulk", facts.webhooks.wait_s + facts.webhooks.retried_wait_s),
        ("shop: emails, in bulk", facts.shop.wait_s),
        ("shop: emails, retried ones", facts.shop.retried_wait_s),
        ("shop: scheduled, from their time on", facts.shop.late_s),
    )
    return [(name, len(v), percentile(v, 50), percentile(v, 99)) for name, v in rows]


def timeline_rows(events: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    """A log for people: time, time since the event before, event, what it says."""
    rows = []
    before: datetime | None = None
    for event in sorted(events, key=lambda e: (datetime.fromisoformat(e["at"]), e["number"] or 0)):
        at = datetime.fromisoformat(event["at"])
        since = "" if before is None else f"+{(at - before).total_seconds():.3f} s"
        rows.append((f"{at:%H:%M:%S}.{at:%f}"[:12], since, event["event"], _said(event, at)))
        before = at
    return rows


_SAID: Final = ("template", "version", "queue", "url")


def _said(event: Row, at: datetime) -> str:
    details: Mapping[str, Any] = event["details"]
    words = [f"{name} {details[name]}" for name in _SAID if details.get(name) not in (None, "")]
    if "attempt" in details:
        words.append(f"attempt {details['attempt']}")
    if details.get("answer"):
        words.append(str(details["answer"]))
    if details.get("reason"):
        words.append(str(details["reason"]))
    if event["event"] == "SCHEDULED" and details.get("due_at"):
        wait_s = (datetime.fromisoformat(details["due_at"]) - at).total_seconds()
        words.append(f"in {max(wait_s, 0):.1f} s")
    return ", ".join(words)


def was_opened(row: Row) -> bool:
    """Whether the reader's opening is in the books; on a slow machine it may pass for too quick."""
    return row["opened_at"] is not None or row["machine_opened_at"] is not None


def was_clicked(row: Row) -> bool:
    """The same of a click."""
    return row["clicked_at"] is not None or row["machine_clicked_at"] is not None
