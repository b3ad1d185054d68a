"""What is known of one recipient's delivery, and the part of it that travels between actors."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from cdp.domain.event import FINAL_STATUSES, EventName, Fold, Status, step_fold
from cdp.domain.failure import Failure
from cdp.domain.ids import ClientId, Partition, RequestId, ResultId
from cdp.domain.lane import Priority, lane_of
from cdp.domain.record import record


@record
class WorkItem:
    """A result as the queue sees it: enough to decide, nothing of its content.

    It is a copy of `delivery_results` or of what a log folds to, so it may be stale; whoever acts
    on it competes for event number `seq + 1` and learns then.
    """

    result_id: ResultId
    request_id: RequestId
    client_id: ClientId
    channel: str
    campaign: str | None = None
    segment: str | None = None
    partition: Partition
    lane: str
    priority: Priority
    status: Status
    seq: int
    attempt: int = 0
    lost: int = 0
    has_content: bool = False
    due_at: datetime
    send_at: datetime | None = None
    expires_at: datetime | None = None
    reason: str | None = None
    """Why it is in this status, where the last event said so."""
    provider: str | None = None
    """Who was given the last attempt."""
    failed_by: str | None = None
    """See `Fold.failed_by`."""
    failure: Failure | None = None
    """See `Fold.failure`."""
    replayed_after: int = 0
    """See `Fold.replayed_after`."""
    timezone: str | None = None
    """The recipient's, where it is known."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a row of values: a third of what it costs to pack a dataclass's state."""
        return _item_of_row, _ROW_OF(self)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in FINAL_STATUSES

    def because(self, reason: str) -> "WorkItem":
        """The item with this as the reason of its status, which no event has said."""
        return replace(self, reason=reason)

    def folded(self, fold: Fold) -> "WorkItem":
        """The item as its log says it is."""
        priority = self.priority if fold.priority is None else Priority(fold.priority)
        return replace(
            self,
            status=fold.status,
            seq=fold.seq,
            attempt=fold.attempt,
            lost=fold.lost,
            has_content=fold.has_content,
            due_at=fold.due_at or self.due_at,
            send_at=fold.send_at,
            expires_at=fold.expires_at,
            priority=priority,
            lane=lane_of(self.channel, priority),
            reason=fold.reason,
            provider=fold.provider,
            failed_by=fold.failed_by,
            failure=fold.failure,
            replayed_after=fold.replayed_after,
        )

    def after(self, name: EventName, at: datetime, metadata: Mapping[str, Any]) -> "WorkItem":
        """The item after one more event in its log."""
        before = Fold(
            seq=self.seq,
            attempt=self.attempt,
            lost=self.lost,
            has_content=self.has_content,
            priority=int(self.priority),
            send_at=self.send_at,
            expires_at=self.expires_at,
            provider=self.provider,
            failed_by=self.failed_by,
            failure=self.failure,
            replayed_after=self.replayed_after,
        )
        return self.folded(step_fold(before, name, at, metadata))


_FIELDS: Final = tuple(field.name for field in fields(WorkItem))
_ROW_OF: Final = attrgetter(*_FIELDS)


def _item_of_row(*row: Any) -> WorkItem:
    """The item that `WorkItem.__reduce__` took apart."""
    return WorkItem(**dict(zip(_FIELDS, row, strict=True)))
