"""Open files of a session: an upload that is written, and what is fetched."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from asyncssh import SFTPError, SFTPNoSpaceOnFilesystem, SFTPPermissionDenied, SFTPQuotaExceeded

from cdp.domain.request_file import FILE_BYTES_MAX
from cdp.domain.sftp_account import SftpAccount
from cdp.sftp.spool import Spool
from cdp.sftp.upload import Stage, Upload

READ_BYTES_MAX: Final = 256 * 1024
ROOM_EVERY_BYTES: Final = 16 * 1024**2
"""How much is written between two looks at the disk."""

NO_ROOM: Final = "There is no room for uploads now."

Writer = Callable[[int, bytes, int], int]


class Session(Protocol):
    """What folders ask the session that they are shown in."""

    has_ended: bool
    """Whether the client has gone, with a word or without."""

    async def drained(self) -> None:
        """Wait until the client has taken most of what it was answered.

        Raises:
            OSError: it never will.
        """


class ReadHandle:
    """A file that stays what it was when it was opened, whatever becomes of its name."""

    def __init__(self, path: Path, *, ended: Callable[[], None] = lambda: None) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        self._ended = ended
        self.size = os.fstat(self._fd).st_size
        self.at = os.fstat(self._fd).st_mtime

    def read(self, offset: int, size: int) -> bytes:
        """What stands there; nothing behind the end."""
        return os.pread(self._fd, min(size, READ_BYTES_MAX), offset)

    def seek(self, offset: int, whence: int) -> int:
        """Where data or a hole begins: there are no holes. asyncssh's clients ask before a get."""
        if offset >= self.size:
            raise OSError(errno.ENXIO, "behind the end")
        return offset if whence == os.SEEK_DATA else self.size

    async def close(self, *, is_clean: bool) -> None:
        """Give it up."""
        os.close(self._fd)
        self._ended()


class UploadHandle:
    """An upload that is being written, by this session alone."""

    def __init__(
        self,
        spool: Spool,
        upload: Upload,
        account: SftpAccount,
        *,
        appends: bool,
        write: Writer,
    ) -> None:
        self._spool = spool
        self.upload = upload
        self._account = account
        self._appends = appends
        self._write = write
        self._fd = os.open(spool.data(upload), os.O_RDWR | os.O_NOFOLLOW)
        self._until_look = 0
        self._lost: SFTPError | None = None
        """Why there is nothing left of it: said again to whoever asks more."""

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.upload.size

    @property
    def at(self) -> float:
        """When it was last written."""
        return self.upload.shown_at

    def read(self, offset: int, size: int) -> bytes:
        """What was written there."""
        return os.pread(self._fd, min(size, READ_BYTES_MAX), offset)

    def seek(self, offset: int, whence: int) -> int:
        """See `ReadHandle.seek`."""
        if offset >= self.size:
            raise OSError(errno.ENXIO, "behind the end")
        return offset if whence == os.SEEK_DATA else self.size

    async def write(self, offset: int, data: bytes) -> int:
        """Write there, or at the end.

        Raises:
            SFTPError: there is no room; then nothing is left of the upload.
        """
        self._require_it()
        offset = self.size if self._appends else offset
        try:
            self._require_room(offset + len(data), len(data))
            done = 0
            while done < len(data):
                done += self._write(self._fd, data[done:], offset + done)
        except OSError as error:
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            why = NO_ROOM if is_full else "The upload could not be written."
            await self._lose(SFTPNoSpaceOnFilesystem(why))
            raise SFTPNoSpaceOnFilesystem(why) from error
        except SFTPError as error:
            await self._lose(error)
            raise
        self._spool.resize(self.upload, max(self.size, offset + len(data)))
        return len(data)

    def _require_it(self) -> None:
        if self._lost is not None:
            raise self._lost

    def _require_room(self, end: int, more: int) -> None:
        if end > FILE_BYTES_MAX:
            raise SFTPQuotaExceeded(f"A file has at most {FILE_BYTES_MAX:,} bytes.")
        used, _ = self._spool.used(self._account.id)
        if used + max(0, end - self.size) > self._account.quota_bytes:
            raise SFTPQuotaExceeded(
                f"The inbox holds at most {self._account.quota_bytes:,} bytes at once."
            )
        self._until_look -= more
        if self._until_look <= 0:
            self._until_look = ROOM_EVERY_BYTES
            if not self._spool.has_room():
                raise SFTPNoSpaceOnFilesystem(NO_ROOM)

    async def _lose(self, why: SFTPError) -> None:
        self._lost = why
        await self._spool.remove(self.upload)

    def truncate(self, size: int) -> None:
        """Cut off what is behind.

        Raises:
            SFTPError: there is nothing to cut off.
        """
        self._require_it()
        if size > self.size:
            raise SFTPPermissionDenied("A file grows by being written.")
        os.ftruncate(self._fd, size)
        self._spool.resize(self.upload, size)

    async def sync(self) -> None:
        """Have what was written outlast a crash."""
        self._require_it()
        await asyncio.to_thread(os.fsync, self._fd)

    async def close(self, *, is_clean: bool) -> None:
        """Give it up.

        Args:
            is_clean: the client has said that it is done; else it was cut off, and may go on.

        Raises:
            SFTPError: it was lost before.
        """
        try:
            self._require_it()
            await asyncio.to_thread(os.fsync, self._fd)
            await self._spool.move(self.upload, Stage.CLOSED if is_clean else Stage.OPEN)
        finally:
            os.close(self._fd)
            self.upload.is_being_written = False
