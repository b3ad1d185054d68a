"""What a session may do: SFTP's verbs on the folders of one account. What is not here is refused.

asyncssh's own server works on a real folder; none of its methods that touch one is left.
"""

import contextlib
import functools
import logging
import stat
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

import asyncssh
from asyncssh import (
    FXF_APPEND,
    FXF_CREAT,
    FXF_EXCL,
    FXF_TRUNC,
    FXF_WRITE,
    SFTPAttrs,
    SFTPError,
    SFTPFailure,
    SFTPFileAlreadyExists,
    SFTPName,
    SFTPNoSpaceOnFilesystem,
    SFTPNoSuchFile,
    SFTPOpUnsupported,
    SFTPPermissionDenied,
    SFTPQuotaExceeded,
    SFTPServer,
)

from cdp.domain.sftp_account import SftpAccount
from cdp.errors import CdpError
from cdp.sftp.handles import NO_ROOM, ReadHandle, Session, UploadHandle, Writer
from cdp.sftp.handover import HandOver
from cdp.sftp.names import BadName, Folder, Place, checked_upload_name, is_unfinished, parts_of
from cdp.sftp.names import place_of as read_path
from cdp.sftp.spool import Spool
from cdp.sftp.tree import Entry, Tree
from cdp.sftp.upload import Stage, Upload

HANDLES_MAX: Final = 32
"""Files, and folders too, that a session has open at once."""

P = ParamSpec("P")
R = TypeVar("R")
Handle = ReadHandle | UploadHandle

log = logging.getLogger(__name__)


def answered(
    method: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Let nothing reach the client but what is meant for it."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except SFTPError:
            raise
        except BadName as bad:
            raise SFTPFailure(str(bad)) from None
        except FileNotFoundError:
            # It was handed over, or its time was over, just now.
            raise SFTPNoSuchFile("There is no such file any more.") from None
        except CdpError as error:
            log.warning("sftp could not ask the platform", extra={"error": type(error).__name__})
            raise SFTPFailure("The platform can't be asked now.") from None
        except Exception as error:
            log.exception("an sftp request failed", extra={"error": type(error).__name__})
            raise SFTPFailure("This went wrong on our side.") from None

    return call


class AccountFolders(SFTPServer):
    """One session's view, and what it has open."""

    def __init__(
        self,
        channel: Any,
        *,
        account: SftpAccount,
        tree: Tree,
        spool: Spool,
        handover: HandOver,
        session: Session,
        write: Writer,
        ended: Callable[["AccountFolders"], None],
    ) -> None:
        super().__init__(channel)
        self._account = account
        self._tree = tree
        self._spool = spool
        self._handover = handover
        self._session = session
        self._write = write
        self._ended = ended
        self._handles: set[Handle] = set()
        self._listings: weakref.WeakSet[AsyncIterator[SFTPName]] = weakref.WeakSet()

    # Looking.

    @answered
    async def realpath(self, path: bytes) -> bytes:
        """The path without detours; whether it leads anywhere is another question."""
        return ("/" + "/".join(parts_of(path))).encode()

    @answered
    async def stat(self, path: bytes) -> SFTPAttrs:
        """What a file or folder is; a file that has no size yet is made, so that it has one."""
        place = _place(path)
        if place.name is None:
            return self._folder_attrs()
        try:
            entry = await self._tree.entry(place)
        except SFTPNoSuchFile:
            recent = self._handover.recent(self._account.id, place.name)
            if place.folder is not Folder.INBOX or recent is None:
                raise
            return _file_attrs(size=recent[0], at=recent[1])
        size = entry.size if entry.size is not None else (await self._tree.made(entry)).size
        return _file_attrs(size=size, at=entry.at)

    # There are no links.
    lstat = stat

    def _folder_attrs(self) -> SFTPAttrs:
        at = int(self._account.created_at.timestamp())
        return SFTPAttrs(permissions=stat.S_IFDIR | 0o750, mtime=at, atime=at)

    @answered
    async def fstat(self, file_obj: object) -> SFTPAttrs:
        """What an open file is."""
        handle = _handle(file_obj)
        return _file_attrs(size=handle.size, at=handle.at)

    def scandir(self, path: bytes) -> AsyncIterator[SFTPName]:
        """What is in a folder. Its names are asked for when the first is read."""
        if len(self._listings) + len(self._handles) >= HANDLES_MAX:
            raise SFTPFailure(f"A session has at most {HANDLES_MAX} files and folders open.")
        try:
            place = _place(path)
        except BadName as bad:
            raise SFTPFailure(str(bad)) from None
        if place.name is not None:
            raise SFTPFailure("This is no folder.")
        listing = self._names(place.folder)
        self._listings.add(listing)
        return listing

    async def _names(self, folder: Folder | None) -> AsyncIterator[SFTPName]:
        for name in (b".", b".."):
            yield SFTPName(name, attrs=self._folder_attrs())
        if folder is None:
            for each in Folder:
                yield SFTPName(each.value.encode(), attrs=self._folder_attrs())
            return
        for entry in await self._entries(folder):
            await self._session.drained()
            attrs = _file_attrs(size=entry.size, at=entry.at)
            yield SFTPName(entry.name.encode(), attrs=attrs)

    @answered
    async def _entries(self, folder: Folder) -> list[Entry]:
        return await self._tree.entries(folder)

    # Open files.

    @answered
    async def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> Handle:
        """Open a file to be fetched, or an upload to be written."""
        place = _place(path)
        if place.folder is None or place.name is None:
            raise SFTPFailure("This is a folder.")
        if len(self._handles) + len(self._listings) >= HANDLES_MAX:
            raise SFTPFailure(f"A session has at most {HANDLES_MAX} files and folders open.")
        if pflags & (FXF_WRITE | FXF_APPEND | FXF_CREAT | FXF_TRUNC):
            _require_inbox(place)
            handle: Handle = await self._open_upload(checked_upload_name(place.name), pflags)
        else:
            handle = await self._tree.opened(await self._tree.entry(place))
        self._handles.add(handle)
        return handle

    async def _open_upload(self, name: str, pflags: int) -> UploadHandle:
        upload = self._spool.find(self._account.id, name)
        if upload is None and not pflags & FXF_CREAT:
            raise SFTPNoSuchFile("There is no such file.")
        if upload is not None and pflags & FXF_EXCL:
            raise SFTPFileAlreadyExists("There is such a file.")
        if upload is not None and upload.is_being_written:
            raise SFTPFailure("Somebody is writing this file.")
        if not self._spool.has_room():
            raise SFTPNoSpaceOnFilesystem(NO_ROOM)
        if upload is None:
            if self._spool.used(self._account.id)[1] >= self._account.quota_files:
                most = f"{self._account.quota_files:,} files"
                raise SFTPQuotaExceeded(f"The inbox holds at most {most} at once.")
            upload = await self._spool.create(self._account, name)
        else:
            await self._reopen(upload)
        try:
            appends = bool(pflags & FXF_APPEND)
            handle = UploadHandle(
                self._spool, upload, self._account, appends=appends, write=self._write
            )
        except OSError:
            upload.is_being_written = False
            raise
        if pflags & FXF_TRUNC:
            handle.truncate(0)
        return handle

    async def _reopen(self, upload: Upload) -> None:
        upload.is_being_written = True
        try:
            await self._spool.move(upload, Stage.OPEN)
        except BaseException:
            upload.is_being_written = False
            raise

    @answered
    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """What stands there, once the client has taken what it asked for before."""
        await self._session.drained()
        return _handle(file_obj).read(offset, size)

    @answered
    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Go on with an upload."""
        return await _upload(file_obj).write(offset, data)

    @answered
    async def fsync(self, file_obj: object) -> None:
        """Have an upload outlast a crash."""
        await _upload(file_obj).sync()

    @answered
    async def close(self, file_obj: object) -> None:
        """Give an open file up; asyncssh also asks for that at the end of a session."""
        handle, is_clean = _handle(file_obj), not self._session.has_ended
        self._handles.discard(handle)
        try:
            await handle.close(is_clean=is_clean)
        except (SFTPError, OSError):
            # At the end of a session nobody hears it, and asyncssh would forget the other files.
            if is_clean:
                raise

    def exit(self) -> None:
        """The session is over, and all of its files are closed."""
        self._ended(self)
        # asyncssh leaves it out, and OpenSSH's scp then takes all for failed.
        with contextlib.suppress(OSError, asyncssh.Error):
            self.channel.exit(0)

    # Changing.

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Give an upload another name that nothing has."""
        await self._rename(oldpath, newpath, replaces=False)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Give an upload another name, in place of what has it."""
        await self._rename(oldpath, newpath, replaces=True)

    @answered
    async def _rename(self, oldpath: bytes, newpath: bytes, *, replaces: bool) -> None:
        upload, target = self._upload_at(oldpath), _place(newpath)
        _require_inbox(target)
        name = checked_upload_name(target.name or "")
        if name == upload.name:
            return
        if upload.stage is not Stage.CLOSED:
            raise SFTPFailure("This upload was cut off: resume it, or send it anew.")
        other = self._spool.find(self._account.id, name)
        if other is not None and not replaces:
            raise SFTPFileAlreadyExists("There is such a file.")
        if other is not None and other.is_being_written:
            raise SFTPFailure("Somebody is writing the other file.")
        counts = is_unfinished(upload.name) and not is_unfinished(name)
        await self._spool.move(upload, Stage.COMPLETE if counts else Stage.CLOSED, name=name)
        if other is not None:
            await self._spool.remove(other)

    @answered
    async def remove(self, path: bytes) -> None:
        """Take an upload back that does not count yet."""
        await self._spool.remove(self._upload_at(path))

    def _upload_at(self, path: bytes) -> Upload:
        """The upload at a path, which nobody is writing."""
        place = _place(path)
        _require_inbox(place)
        upload = self._spool.find(self._account.id, place.name or "")
        if upload is None:
            raise SFTPNoSuchFile("There is no such upload.")
        if upload.is_being_written:
            raise SFTPFailure("Somebody is writing this file.")
        return upload

    @answered
    async def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Set an upload's time. Clients do so after an upload; it has no owner and no mode."""
        place = _place(path)
        _require_inbox(place)
        _require_times_alone(attrs)
        upload = self._spool.find(self._account.id, place.name or "")
        if upload is None:
            # It may be on its way already, where nobody asks for its time.
            await self.stat(path)
        else:
            upload.mtime = attrs.mtime

    lsetstat = setstat

    @answered
    async def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        """Set the time of an open upload, or cut off its end."""
        handle = _upload(file_obj)
        if attrs.size is not None:
            handle.truncate(attrs.size)
            attrs = SFTPAttrs(mtime=attrs.mtime, atime=attrs.atime)
        _require_times_alone(attrs)
        handle.upload.mtime = attrs.mtime if attrs.mtime is not None else handle.upload.mtime

    def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """There are four folders."""
        raise SFTPPermissionDenied("There are no other folders.")

    def rmdir(self, path: bytes) -> None:
        """There are four folders."""
        raise SFTPPermissionDenied("These folders stay.")

    def readlink(self, path: bytes) -> bytes:
        """There are no links."""
        raise SFTPOpUnsupported("There are no links.")

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """There are no links, hard ones neither."""
        raise SFTPOpUnsupported("There are no links.")

    link = symlink

    def statvfs(self, path: bytes) -> Any:
        """The disk is ours."""
        raise SFTPOpUnsupported("This is not told.")

    def fstatvfs(self, file_obj: object) -> Any:
        """The disk is ours."""
        raise SFTPOpUnsupported("This is not told.")

    def lock(self, file_obj: object, offset: int, length: int, flags: int) -> None:
        """An upload has one writer anyway."""
        raise SFTPOpUnsupported("There are no locks.")

    def unlock(self, file_obj: object, offset: int, length: int) -> None:
        """An upload has one writer anyway."""
        raise SFTPOpUnsupported("There are no locks.")


def _place(path: bytes) -> Place:
    place = read_path(path)
    if place is None:
        raise SFTPNoSuchFile("There are /inbox, /processed, /rejected and /results.")
    return place


def _require_inbox(place: Place) -> None:
    if place.folder is not Folder.INBOX or place.name is None:
        raise SFTPPermissionDenied("Only files in /inbox can be written.")


def _require_times_alone(attrs: SFTPAttrs) -> None:
    if attrs.size is not None or attrs.uid is not None or attrs.gid is not None:
        raise SFTPPermissionDenied("Only an upload's time can be set.")
    # A mode comes along with the time, and is of no use here; alone it is what was asked for.
    if attrs.permissions is not None and attrs.mtime is None:
        raise SFTPPermissionDenied("Only an upload's time can be set.")


def _handle(file_obj: object) -> Handle:
    assert isinstance(file_obj, ReadHandle | UploadHandle)
    return file_obj


def _upload(file_obj: object) -> UploadHandle:
    if not isinstance(file_obj, UploadHandle):
        raise SFTPPermissionDenied("This file is open to be read.")
    return file_obj


def _file_attrs(*, size: int | None, at: float) -> SFTPAttrs:
    return SFTPAttrs(size=size, permissions=stat.S_IFREG | 0o640, mtime=int(at), atime=int(at))
