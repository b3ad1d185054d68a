"""Object storage as the platform needs it: whole objects under keys that are made here.

A key never holds anything that a client has written, so no name can lead out of its place.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

KEY_FORM: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,199}(?:/[a-z0-9][a-z0-9_.-]{0,199})*")
"""Between two slashes stand 200 characters at most, since a file's name has no more than 255."""
PREFIX_FORM: Final = re.compile(r"(?:[a-z0-9][a-z0-9_.-]*(?:/[a-z0-9][a-z0-9_.-]*)*/?)?")
KEY_MAX: Final = 512
CHUNK_BYTES: Final = 1024 * 1024
"""What is read at once, at most."""
URL_VALID_MAX: Final = timedelta(days=1)
LEFTOVER_AGE: Final = timedelta(days=1)
"""A put that has made no step for so long is dead."""


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
    """By the store's clock, in some to the second only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """Where somebody without credentials may fetch or put one object, for a while.

    Until then whoever has it may do so again and again, and nothing bounds the size of what is put.
    """

    url: str
    expires_at: datetime


class ObjectStore(Protocol):
    """A place for large objects.

    Every method raises `StoreUnavailable`, and `ValueError` for a key that has not the form. A put
    that is cancelled has either stored the whole object or nothing.
    """

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, size_max: int) -> StoredObject:
        """Store an object. It is there whole or not at all, whoever dies meanwhile; what was there
        under the key is replaced. What `chunks` raises comes through, and nothing is stored.

        Raises:
            ObjectTooLarge: more than `size_max` bytes came.
        """

    def read(self, key: str, *, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """An object's bytes from `offset` on, in chunks of `CHUNK_BYTES` at most; behind its end
        there are none. They are of one object, though another may take its place meanwhile. Who
        stops early closes it (`contextlib.aclosing`), which gives the file or connection back.

        Raises:
            ObjectMissing: there is none, or no longer.
        """

    async def look(self, key: str) -> StoredObject | None:
        """What is known of an object, if it is there."""

    async def page(self, prefix: str, *, after: str | None, limit: int) -> list[StoredObject]:
        """Objects whose keys begin so, in the order of their keys' characters: those that come
        after the key `after`, which need not be there, and no more than `limit`. What lies there
        under a name that is no key counts as none.
        """

    async def delete(self, key: str) -> None:
        """Take an object away, if it is there."""

    async def upload_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        """Where one object may be put by HTTP PUT; None where this store has no such thing.

        Raises:
            ValueError: for longer than `URL_VALID_MAX`, or for less than a second.
        """

    async def download_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        """Where one object may be fetched by HTTP GET, as `upload_url`."""

    async def remove_leftovers(self, *, older_than: timedelta = LEFTOVER_AGE) -> int:
        """Take away what puts that were killed have left; how many there were.

        No key leads to these, but they take room. Whoever runs a store calls this now and then.
        """

    async def close(self) -> None:
        """Give up connections, when what was begun to be cleared away is gone."""


def checked_key(key: str) -> str:
    """The key.

    Raises:
        ValueError: it has not the form of one.
    """
    if len(key) > KEY_MAX or not KEY_FORM.fullmatch(key):
        raise ValueError("This is no key of an object.")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix.

    Raises:
        ValueError: no key can begin so.
    """
    if len(prefix) > KEY_MAX or not PREFIX_FORM.fullmatch(prefix):
        raise ValueError("No key of an object begins so.")
    return prefix


def checked_validity(valid_for: timedelta) -> int:
    """For how many seconds a signed URL is valid.

    Raises:
        ValueError: that is too long, or less than one.
    """
    if not timedelta(seconds=1) <= valid_for <= URL_VALID_MAX:
        raise ValueError("A signed URL is valid for a second at least, and for a day at most.")
    return int(valid_for.total_seconds())
