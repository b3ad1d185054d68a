"""Objects as files of a local folder, for one machine or a file system that several share.

It needs no server, and signs no URLs. Modes are 0700 and 0600: only the platform's user reads.
"""

import errno
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from cdp.object_stores.blocks import gathered
from cdp.object_stores.folder import Folder, Unfinished
from cdp.object_stores.threads import in_thread
from cdp.ports.clock import Clock
from cdp.ports.object_store import (
    CHUNK_BYTES,
    LEFTOVER_AGE,
    ObjectMissing,
    SignedUrl,
    StoredObject,
    StoreUnavailable,
    checked_key,
    checked_prefix,
    checked_validity,
)

P = ParamSpec("P")
T = TypeVar("T")


class LocalObjectStore:
    """See `ObjectStore`. A put is written beside, to the disk, and then renamed: a machine that
    fails leaves the object whole or not at all.
    """

    def __init__(self, root: Path, *, clock: Clock) -> None:
        """A store whose folder is made by the first put.

        Args:
            root: the folder; links on the way to it are followed now, and none later.
            clock: tells the age of leftovers; it should go with the file system's.
        """
        self._folder = Folder(os.fspath(root))
        self._clock = clock

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, size_max: int) -> StoredObject:
        """See `ObjectStore.put`."""
        checked_key(key)
        unfinished = Unfinished(self._folder)
        blocks = gathered(chunks, block_bytes=CHUNK_BYTES, size_max=size_max)
        try:
            await _done(unfinished.begin)
            async with aclosing(blocks):
                async for block, _ in blocks:
                    await _done(unfinished.write, block.getbuffer())
            return await _done(unfinished.finish, key)
        finally:
            await in_thread(unfinished.end)

    def read(self, key: str, *, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """See `ObjectStore.read`."""
        if offset < 0:
            raise ValueError("An object has nothing before its beginning.")
        return self._read(checked_key(key), offset)

    async def _read(self, key: str, offset: int) -> AsyncGenerator[bytes, None]:
        # Noted by the thread: who is cancelled meanwhile would not get to know what it has opened.
        opened: list[int] = []
        try:
            if not await _done(self._folder.open_file, key, opened):
                raise ObjectMissing("There is no such object.")
            while chunk := await _done(os.pread, opened[0], CHUNK_BYTES, offset):
                yield chunk
                offset += len(chunk)
        finally:
            for file in opened:
                os.close(file)

    async def look(self, key: str) -> StoredObject | None:
        """See `ObjectStore.look`."""
        checked_key(key)
        return await _done(self._folder.look, key)

    async def page(self, prefix: str, *, after: str | None, limit: int) -> list[StoredObject]:
        """See `ObjectStore.page`.

        All names of a folder are read for each page: for a million objects use several folders.
        """
        assert limit > 0
        checked_prefix(prefix)
        if after is not None:
            checked_key(after)
        return await _done(self._folder.page, prefix, after=after, limit=limit)

    async def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        checked_key(key)
        await _done(self._folder.delete, key)

    async def upload_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        """None: a folder answers no HTTP."""
        checked_key(key)
        checked_validity(valid_for)
        return None

    async def download_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        """None: a folder answers no HTTP."""
        checked_key(key)
        checked_validity(valid_for)
        return None

    async def remove_leftovers(self, *, older_than: timedelta = LEFTOVER_AGE) -> int:
        """See `ObjectStore.remove_leftovers`. A put counts as dead that long after its last write,
        and fails if it then goes on.
        """
        before_s = (self._clock.now() - older_than).timestamp()
        return await _done(self._folder.remove_unfinished, before_s=before_s)

    async def close(self) -> None:
        """See `ObjectStore.close`. Between two calls nothing is open."""


async def _done(work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """What blocking work on files returns.

    Raises:
        StoreUnavailable: the disk is full (ENOSPC, EDQUOT), broken, not ours, or not there.
    """
    try:
        return await in_thread(partial(work, *args, **named))
    except OSError as error:
        # Its number only: its text has the path in it.
        name = errno.errorcode.get(error.errno or 0, "OSError")
        raise StoreUnavailable(f"The folder of objects fails: {name}.") from None
