"""Dead letters: what was given up, and is kept until somebody replays it or lets it be."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.failure import ErrorClass
from cdp.domain.ids import EPOCH, ID_BYTES, ResultId

REPLAY_MAX: Final = 1_000
"""Dead letters that are replayed at once; the rest by repeating."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Which dead letters are meant. None filters nothing; the ends of times are exclusive."""

    error_class: ErrorClass | None = None
    reason: str | None = None
    provider: str | None = None
    """Who was given the attempt that failed."""
    campaign: str | None = None
    channel: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    failed_from: datetime | None = None
    failed_to: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPlace:
    """Where a page ends: the newest failures come first, of one moment by id."""

    failed_at: datetime
    result_id: ResultId

    def to_bytes(self) -> bytes:
        """The place as a cursor holds it."""
        since_ms = (self.failed_at - EPOCH) // timedelta(milliseconds=1)
        return self.result_id + since_ms.to_bytes(8, "big")

    @classmethod
    def from_bytes(cls, position: bytes) -> "DeadLetterPlace":
        """The place that a cursor holds."""
        since = timedelta(milliseconds=int.from_bytes(position[ID_BYTES:], "big"))
        return cls(failed_at=EPOCH + since, result_id=ResultId(position[:ID_BYTES]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """How many dead letters there are for one reason."""

    error_class: ErrorClass
    reason: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime
