"""The `Idempotency-Key` header: the same key and body get the same answer again."""

import hashlib
from collections.abc import Mapping
from typing import Final

from cdp.errors import Invalid

HEADER: Final = b"idempotency-key"
KEY_CHARS_MAX: Final = 255
REPLAYED: Final = (b"idempotent-replayed", b"true")

_HASH_BYTES: Final = 16


def key_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The key that came with the request, if one did.

    Raises:
        Invalid: it is empty, too long, or not printable ASCII.
    """
    raw = headers.get(HEADER)
    if raw is None:
        return None
    key = raw.decode("latin-1")
    if not (1 <= len(key) <= KEY_CHARS_MAX and key.isascii() and key.isprintable()):
        raise Invalid.at(
            "Idempotency-Key",
            "key_invalid",
            f"The key must be 1 to {KEY_CHARS_MAX} printable ASCII characters.",
        )
    return key


def body_hash(path: str, body: bytes) -> bytes:
    """What tells whether a repeated key came with the same request."""
    return hashlib.blake2b(body, digest_size=_HASH_BYTES, person=path.encode()[-16:]).digest()
