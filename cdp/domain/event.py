"""The events of a communication, in which order they may stand, and what they add up to.

Everything that a result is follows from its numbered events: `fold` is the definition of
`delivery_results`, which is only kept for speed. `cdp verify`, the documentation and all who
write events derive from the tables here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from cdp.domain.failure import Failure, failed, given_up
from cdp.domain.ids import EventId, ResultId, event_id
from cdp.domain.record import record
from cdp.domain.retry import PROVIDER_FAILURES


class EventName(StrEnum):
    """The seed's events, and ours."""

    CREATED = "CREATED"
    CONTENT_RESOLVED = "CONTENT_RESOLVED"
    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    DELIVERY_ATTEMPTED = "DELIVERY_ATTEMPTED"
    DELIVERY_SUCCEEDED = "DELIVERY_SUCCEEDED"
    DELIVERY_FAILED = "DELIVERY_FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    SUPPRESSED = "SUPPRESSED"
    UNDELIVERABLE = "UNDELIVERABLE"
    REPLAYED = "REPLAYED"
    OPENED = "OPENED"
    READ = "READ"
    CLICKED = "CLICKED"
    DELIVERY_CONFIRMED = "DELIVERY_CONFIRMED"
    BOUNCED = "BOUNCED"
    COMPLAINED = "COMPLAINED"
    UNSUBSCRIBED = "UNSUBSCRIBED"


E = EventName

CLOSING: Final = frozenset({E.CANCELLED, E.EXPIRED, E.SUPPRESSED, E.UNDELIVERABLE})
FINAL: Final = CLOSING | {E.DELIVERY_SUCCEEDED}

_OPEN: Final = frozenset(
    {E.CREATED, E.CONTENT_RESOLVED, E.SCHEDULED, E.QUEUED, E.DELIVERY_FAILED, E.REPLAYED}
)

LEGAL_AFTER: Final[Mapping[EventName, frozenset[EventName]]] = {
    E.CREATED: frozenset(),
    E.CONTENT_RESOLVED: frozenset({E.CREATED, E.SCHEDULED, E.REPLAYED}),
    E.SCHEDULED: _OPEN,
    E.QUEUED: _OPEN - {E.CREATED},
    E.DELIVERY_ATTEMPTED: frozenset({E.QUEUED}),
    E.DELIVERY_SUCCEEDED: frozenset({E.DELIVERY_ATTEMPTED}),
    E.DELIVERY_FAILED: frozenset({E.DELIVERY_ATTEMPTED}),
    E.CANCELLED: _OPEN,
    E.EXPIRED: _OPEN,
    E.SUPPRESSED: _OPEN,
    E.UNDELIVERABLE: _OPEN,
    E.REPLAYED: frozenset({E.UNDELIVERABLE}),
}
"""Which numbered event may follow which. `CREATED` is number 1 and follows nothing."""

UNNUMBERED: Final = frozenset(set(E) - set(LEGAL_AFTER))
"""Engagement and receipts: any time after an attempt, and they move nothing."""


class Status(StrEnum):
    """Where a result is, as the API shows it."""

    ACCEPTED = "accepted"
    RENDERED = "rendered"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    FAILED = "failed"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"


STATUS_AFTER: Final[Mapping[EventName, Status]] = {
    E.CREATED: Status.ACCEPTED,
    E.CONTENT_RESOLVED: Status.RENDERED,
    E.SCHEDULED: Status.SCHEDULED,
    E.QUEUED: Status.QUEUED,
    E.DELIVERY_ATTEMPTED: Status.SENDING,
    E.DELIVERY_SUCCEEDED: Status.DELIVERED,
    E.DELIVERY_FAILED: Status.FAILED,
    E.CANCELLED: Status.CANCELLED,
    E.EXPIRED: Status.EXPIRED,
    E.SUPPRESSED: Status.SUPPRESSED,
    E.UNDELIVERABLE: Status.UNDELIVERABLE,
    E.REPLAYED: Status.ACCEPTED,
}
FINAL_STATUSES: Final = frozenset(STATUS_AFTER[name] for name in FINAL)


@record
class Event:
    """One entry of a communication's log, as it is stored and never changed."""

    id: EventId
    name: EventName
    at: datetime
    client_id: bytes
    writer: str
    """The incarnation of who wrote it: tells after a network error whether we won."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@record
class Step:
    """A numbered event that somebody wants to append, with what it does to the projection."""

    result_id: ResultId
    number: int
    name: EventName
    client_id: bytes
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def event_id(self) -> EventId:
        """The one `_id` that this step competes for."""
        return event_id(self.result_id, self.number)


@record
class Fold:
    """What a result's numbered events add up to."""

    seq: int = 0
    last: EventName | None = None
    status: Status = Status.ACCEPTED
    attempt: int = 0
    lost: int = 0
    """Attempts in a row whose worker was lost: what marks a poisonous message (D10)."""
    has_content: bool = False
    due_at: datetime | None = None
    priority: int | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    reason: str | None = None
    provider: str | None = None
    """Who was given the last attempt."""
    failed_by: str | None = None
    """The provider that was in trouble with the last attempt: the next is another's, if there is
    one."""
    failure: Failure | None = None
    """What went wrong last; None where nothing has, or it was delivered or replayed since."""
    replayed_after: int = 0
    """Attempts that there were when it was last replayed: the retry policy counts from there."""
    since: datetime | None = None


def is_legal(before: Fold, name: EventName) -> bool:
    """Whether `name` may be the next numbered event."""
    if name is E.CREATED:
        return before.last is None
    if before.last not in LEGAL_AFTER[name]:
        return False
    if name is E.CONTENT_RESOLVED:
        return not before.has_content
    if name is E.QUEUED:
        return before.has_content
    return True


def step_fold(before: Fold, name: EventName, at: datetime, metadata: Mapping[str, Any]) -> Fold:
    """The fold after one more event. It does not judge: `is_legal` does."""
    attempt = before.attempt + (1 if name is E.DELIVERY_ATTEMPTED else 0)
    lost, provider, failed_by = before.lost, before.provider, before.failed_by
    failure, replayed_after = before.failure, before.replayed_after
    if name is E.DELIVERY_ATTEMPTED:
        provider = metadata.get("provider")
    elif name is E.DELIVERY_FAILED:
        lost = before.lost + 1 if metadata.get("code") == WORKER_LOST else 0
        failed_by = provider if metadata.get("reason") in PROVIDER_FAILURES else None
        failure = failed(metadata, provider)
    elif name is E.UNDELIVERABLE:
        failure = given_up(metadata, failure)
    elif name is E.DELIVERY_SUCCEEDED:
        failure = None
    elif name is E.REPLAYED:
        lost, failed_by, failure, replayed_after = 0, None, None, attempt
    return Fold(
        seq=before.seq + 1,
        last=name,
        status=STATUS_AFTER[name],
        attempt=attempt,
        lost=lost,
        has_content=before.has_content or name is E.CONTENT_RESOLVED,
        due_at=None if name in FINAL else metadata.get("due_at", at),
        priority=metadata.get("priority", before.priority),
        send_at=metadata.get("send_at", before.send_at),
        expires_at=metadata.get("expires_at", before.expires_at),
        reason=metadata.get("reason"),
        provider=provider,
        failed_by=failed_by,
        failure=failure,
        replayed_after=replayed_after,
        since=at,
    )


def fold(events: Iterable[tuple[EventName, datetime, Mapping[str, Any]]]) -> Fold:
    """What the events, in the order of their numbers, add up to."""
    state = Fold()
    for name, at, metadata in events:
        state = step_fold(state, name, at, metadata)
    return state


WORKER_LOST: Final = "worker_lost"
"""The code of a failure whose worker vanished with the attempt."""
