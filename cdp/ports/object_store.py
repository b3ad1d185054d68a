"""Object storage as the platform needs it: whole objects under keys that are made here.

A key never holds anything that a client has written, so no name can lead out of its place.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

KEY_FORM: Final = re.compile(r"[a-z0-9][a-z0-9_.-]*(?:/[a-z0-9][a-z0-9_.-]*)*")
KEY_MAX: Final = 512
CHUNK_BYTES: Final = 1024 * 1024
"""What is read at once, at most."""


class ObjectMissing(Exception):
    """There is no object under this key, or it went away while it was read."""


class ObjectTooLarge(Exception):
    """More came than may be stored; nothing of it is there."""


class StoreUnavailable(Exception):
    """The store can't be reached, or has no room, now. What was asked may have been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object that is there, whole."""

    key: str
    size: int
    """In bytes."""
    stored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """Where somebody without credentials may fetch or put one object, for a while."""

    url: str
    expires_at: datetime


class ObjectStore(Protocol):
    """A place for large objects.

    Every method raises `StoreUnavailable`, and `ValueError` for a key that has not the form.
    """

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, size_max: int) -> StoredObject:
        """Store an object. It is there whole or not at all, whoever dies meanwhile; what was there
        under the key is replaced. What `chunks` raises comes through, and nothing is stored.

        Raises:
            ObjectTooLarge: more than `size_max` bytes came.
        """

    def read(self, key: str, *, offset: int = 0) -> AsyncIterator[bytes]:
        """An object's bytes from `offset` on, in chunks of `CHUNK_BYTES` at most.

        Raises:
            ObjectMissing: there is none, or no longer.
        """

    async def look(self, key: str) -> StoredObject | None:
        """What is known of an object, if it is there."""

    async def page(self, prefix: str, *, after: str | None, limit: int) -> list[StoredObject]:
        """Objects whose keys begin so, in the order of their keys."""

    async def delete(self, key: str) -> None:
        """Take an object away, if it is there."""

    async def upload_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        """Where one object may be put by HTTP PUT; None where this store has no such thing."""

    async def download_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        """Where one object may be fetched by HTTP GET; None where this store has no such thing."""

    async def close(self) -> None:
        """Give up connections."""


def checked_key(key: str) -> str:
    """The key.

    Raises:
        ValueError: it has not the form of one.
    """
    if len(key) > KEY_MAX or not KEY_FORM.fullmatch(key):
        raise ValueError("This is no key of an object.")
    return key
