"""Ids: how they are made, what is derived from them, and how they are shown.

An id is 16 bytes, a UUIDv7 (RFC 9562, section 5.7): it sorts in time, and its random bits choose
the partition. In MongoDB it is plain Binary, so that reading one costs no conversion; people and
the API see the usual text form.

An event's id is 28 bytes: the result's id, then the event's number, so that two writers of
the same next event compete for one `_id` and exactly one wins.
"""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NewType

ClientId = NewType("ClientId", bytes)
RequestId = NewType("RequestId", bytes)
ResultId = NewType("ResultId", bytes)
BatchId = NewType("BatchId", bytes)
EventId = NewType("EventId", bytes)
Partition = NewType("Partition", int)

ID_BYTES = 16
RANDOM_BYTES = 10
EVENT_ID_BYTES = 28
RECIPIENTS_MAX = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UNNUMBERED = b"\xff\xff\xff\xff"
_TAIL = bytes(8)
_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def uuid7(*, unix_ms: int, random_bytes: bytes) -> bytes:
    """A UUIDv7 from the time and ten random bytes, of which 74 bits are used."""
    assert 0 <= unix_ms < 1 << 48
    assert len(random_bytes) == RANDOM_BYTES
    raw = bytearray(unix_ms.to_bytes(6, "big") + random_bytes)
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return bytes(raw)


def fresh_id(at: datetime, random_bytes: Callable[[int], bytes]) -> bytes:
    """A UUIDv7 of this moment; `random_bytes` gives so many of them."""
    return uuid7(unix_ms=int(at.timestamp() * 1000), random_bytes=random_bytes(RANDOM_BYTES))


def derived_id(parent: bytes, index: int, *, key: bytes) -> bytes:
    """The id of a parent's child number `index`: the parent's time, and a keyed hash.

    Made again after a crash it is the same id, so that a repeat completes what is missing and
    doubles nothing. The key keeps a client from choosing ids that collide with another's.
    """
    digest = hashlib.blake2b(
        parent + index.to_bytes(8, "big"), key=key, digest_size=RANDOM_BYTES
    ).digest()
    return uuid7(unix_ms=unix_ms_of(parent), random_bytes=digest)


def result_ids(request_id: RequestId, recipients: int, *, key: bytes) -> list[ResultId]:
    """The ids of a request's results: with one recipient the request's own."""
    assert 1 <= recipients <= RECIPIENTS_MAX
    if recipients == 1:
        return [ResultId(request_id)]
    return [ResultId(derived_id(request_id, index, key=key)) for index in range(recipients)]


def unix_ms_of(any_id: bytes) -> int:
    """The time that a UUIDv7 was made, in milliseconds since 1970."""
    return int.from_bytes(any_id[:6], "big")


def lowest_id(moment: datetime) -> bytes:
    """The id below all that were made from this moment on."""
    unix_ms = max(0, (moment - EPOCH) // timedelta(milliseconds=1))
    return unix_ms.to_bytes(6, "big") + bytes(ID_BYTES - 6)


def partition_of(result_id: bytes, partitions: int) -> Partition:
    """Which partition a result belongs to: from its random bits, the same in every process."""
    return Partition(int.from_bytes(result_id[12:16], "big") % partitions)


def event_id(result_id: bytes, number: int) -> EventId:
    """The only `_id` that event `number` of a result can have."""
    assert len(result_id) == ID_BYTES
    assert 1 <= number < 0xFFFFFFFF
    return EventId(result_id + number.to_bytes(4, "big") + _TAIL)


def unnumbered_event_id(result_id: bytes, kind: str, reference: str) -> EventId:
    """The `_id` of an engagement or receipt: told twice, it is stored once."""
    digest = hashlib.blake2b(f"{kind}\0{reference}".encode(), digest_size=8).digest()
    return EventId(result_id + _UNNUMBERED + digest)


def number_of(any_event_id: bytes) -> int | None:
    """The event's number, or None when it is one of those that move nothing."""
    number = any_event_id[16:20]
    return None if number == _UNNUMBERED else int.from_bytes(number, "big")


def result_of(any_event_id: bytes) -> ResultId:
    """The result that an event belongs to."""
    return ResultId(any_event_id[:ID_BYTES])


def text_of(any_id: bytes) -> str:
    """The usual text form of a UUID."""
    digits = any_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_from_text(text: str) -> bytes:
    """The id that `text` shows.

    Raises:
        ValueError: it is not a lower-case UUID with hyphens.
    """
    if not _TEXT.fullmatch(text):
        raise ValueError("not an id")
    return bytes.fromhex(text.replace("-", ""))
