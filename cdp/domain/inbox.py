"""What a user does with the entries of an inbox."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cdp.domain.ids import ID_BYTES, ClientId, ResultId

MARK_MAX: Final = 500
"""Entries that are marked in one call."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS_BYTES: Final = 8


class Mark(StrEnum):
    """What is noted of an entry."""

    SEEN = "seen"
    READ = "read"
    ARCHIVED = "archived"
    UNARCHIVED = "unarchived"


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxUser:
    """Whose inbox."""

    client_id: ClientId
    user: str
    """The client's own name for its user."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class InboxPosition:
    """Where an entry stands in an inbox: by its arrival, which is not when it was accepted."""

    at: datetime
    """To the millisecond."""
    result_id: ResultId

    def packed(self) -> bytes:
        """In 24 bytes, of which `unpacked` makes the same again."""
        return unix_ms(self.at).to_bytes(_MS_BYTES, "big") + self.result_id

    @classmethod
    def unpacked(cls, packed: bytes) -> "InboxPosition":
        """What `packed` has made."""
        assert len(packed) == _MS_BYTES + ID_BYTES
        at = moment_of(int.from_bytes(packed[:_MS_BYTES], "big"))
        return cls(at=at, result_id=ResultId(packed[_MS_BYTES:]))


def unix_ms(at: datetime) -> int:
    """A moment in milliseconds since 1970."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def moment_of(ms: int) -> datetime:
    """The moment that is so many milliseconds after 1970.

    Raises:
        OverflowError: it lies beyond the year 9999.
    """
    return _EPOCH + timedelta(milliseconds=ms)
