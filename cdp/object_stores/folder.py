"""A folder that holds objects as files: the blocking half of `LocalObjectStore`.

An object's file has the last part of its key as its name; a folder on the way to it has a part and
`+`, since both `a` and `a/b` may be keys. What is not yet whole lies in `.unfinished`, on the same
file system, and is renamed to where it belongs.

Every step on the way is opened below the one before it and never through a symbolic link, so that
nothing outside is read or written, whoever puts links into the folder.
"""

import errno
import heapq
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from cdp.ports.object_store import KEY_FORM, KEY_MAX, StoredObject

UNFINISHED: Final = ".unfinished"
FOLDER_MARK: Final = "+"
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
FINISH_TRIES: Final = 5
"""How often a folder may be taken away, as empty, under a put that has just made it."""
SCAN_MAX: Final = 1000
"""How many names of one folder are held at once."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Folder:
    """The folder. Every method blocks; all raise OSError for what the file system refuses."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)

    @contextmanager
    def _opened(self, names: list[str], *, make: bool = False) -> Iterator[int]:
        """A folder below the root, by its names; made where it is not there, if wished."""
        if make and not os.path.isdir(self._root):
            os.makedirs(self._root, mode=FOLDER_MODE, exist_ok=True)
            _sync(os.path.dirname(self._root))
        at = os.open(self._root, _FOLDER)
        try:
            for name in names:
                below = _enter(at, name, make=make)
                os.close(at)
                at = below
            yield at
        finally:
            os.close(at)

    def look(self, key: str) -> StoredObject | None:
        """What is known of an object."""
        *folders, name = _names(key)
        try:
            with self._opened(folders) as at:
                return _stored(key, os.stat(name, dir_fd=at, follow_symlinks=False))
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise

    def open_file(self, key: str, opened: list[int]) -> bool:
        """Add an object's file to `opened`, for reading; whether it is there."""
        *folders, name = _names(key)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            with self._opened(folders) as at:
                file = os.open(name, flags, dir_fd=at)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False
            raise
        opened.append(file)
        return stat.S_ISREG(os.fstat(file).st_mode)

    def delete(self, key: str) -> None:
        """Take an object away, and the folders that are empty without it."""
        *folders, name = _names(key)
        try:
            with self._opened(folders) as at:
                os.unlink(name, dir_fd=at)
                os.fsync(at)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return
            raise
        while folders:
            *folders, empty = folders
            try:
                with self._opened(folders) as at:
                    os.rmdir(empty, dir_fd=at)
            except OSError:
                return

    def page(self, prefix: str, *, after: str | None, limit: int) -> list[StoredObject]:
        """See `ObjectStore.page`. Of each folder on the way it reads all names, but holds few."""
        try:
            with self._opened([]) as root:
                return list(islice(_walk(root, "", prefix, after or ""), limit))
        except FileNotFoundError:
            return []

    def remove_unfinished(self, *, before_s: float) -> int:
        """Take away what nobody has written to since then, in seconds since 1970."""
        count = 0
        try:
            with self._opened([UNFINISHED]) as at:
                for name in os.listdir(at):
                    with suppress(FileNotFoundError):
                        if os.stat(name, dir_fd=at, follow_symlinks=False).st_mtime < before_s:
                            os.unlink(name, dir_fd=at)
                            count += 1
        except FileNotFoundError:
            return 0
        return count

    def begin(self) -> "tuple[str, int]":
        """A new file in `.unfinished`: its name, and itself open for writing."""
        name = secrets.token_hex(16)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._opened([UNFINISHED], make=True) as at:
            return name, os.open(name, flags, FILE_MODE, dir_fd=at)

    def place(self, unfinished: str, key: str) -> None:
        """Move a finished file to its key, in place of what is there."""
        *folders, name = _names(key)
        with self._opened([UNFINISHED]) as source:
            for left in reversed(range(FINISH_TRIES)):
                try:
                    with self._opened(folders, make=True) as target:
                        os.rename(unfinished, name, src_dir_fd=source, dst_dir_fd=target)
                        os.fsync(target)
                        return
                except FileNotFoundError:
                    # Another's delete took the folder away, as empty, since we have made it.
                    if not left:
                        raise

    def discard(self, unfinished: str) -> None:
        """Take an unfinished file away, if it is there."""
        with suppress(OSError), self._opened([UNFINISHED]) as at:
            os.unlink(unfinished, dir_fd=at)


class Unfinished:
    """One object on its way into the folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._name: str | None = None
        self._file = -1

    def begin(self) -> None:
        """Make its file."""
        self._name, self._file = self._folder.begin()

    def write(self, rest: memoryview) -> None:
        """Add to it."""
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def finish(self, key: str) -> StoredObject:
        """Let it be the object of this key. It lasts when this has returned."""
        assert self._name is not None
        os.fsync(self._file)
        found = _stored(key, os.fstat(self._file))
        assert found is not None
        self._folder.place(self._name, key)
        self._name = None
        return found

    def end(self) -> None:
        """Close its file, and take it away if it was not finished."""
        file, self._file = self._file, -1
        if file >= 0:
            # What a close complains of has been written by fsync, or is taken away now.
            with suppress(OSError):
                os.close(file)
        if self._name is not None:
            self._folder.discard(self._name)


def _sync(folder: str) -> None:
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(at)
    finally:
        os.close(at)


def _names(key: str) -> list[str]:
    *folders, name = key.split("/")
    return [*(folder + FOLDER_MARK for folder in folders), name]


def _enter(at: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=at)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, mode=FOLDER_MODE, dir_fd=at)
        os.fsync(at)
    return os.open(name, _FOLDER, dir_fd=at)


def _stored(key: str, known: os.stat_result) -> StoredObject | None:
    if not stat.S_ISREG(known.st_mode):
        return None
    stored_at = datetime.fromtimestamp(known.st_mtime, UTC)
    return StoredObject(key=key, size=known.st_size, stored_at=stored_at)


def _walk(at: int, base: str, prefix: str, after: str) -> Iterator[StoredObject]:
    """The objects below one folder in order. It holds `SCAN_MAX` names of each folder on the way
    and reads the folder again for the next ones.
    """
    last = ""
    while True:
        found = heapq.nsmallest(SCAN_MAX, _entries(at, base, prefix, after, last))
        for path in found:
            with suppress(FileNotFoundError, NotADirectoryError):
                if not path.endswith("/"):
                    known = os.stat(path[len(base) :], dir_fd=at, follow_symlinks=False)
                    if (stored := _stored(path, known)) is not None:
                        yield stored
                    continue
                below = os.open(path[len(base) : -1] + FOLDER_MARK, _FOLDER, dir_fd=at)
                try:
                    yield from _walk(below, path, prefix, after)
                finally:
                    os.close(below)
        if len(found) < SCAN_MAX:
            return
        last = found[-1]


def _entries(at: int, base: str, prefix: str, after: str, last: str) -> Iterator[str]:
    """Keys of objects in one folder, and, with a slash at the end, what keys below it begin with:
    both stand in the order of the keys. None that are not after `last` or can't lead to the page.
    """
    with os.scandir(at) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                name = entry.name.removesuffix(FOLDER_MARK)
                path = f"{base}{name}/"
                wished = path.startswith(prefix) or prefix.startswith(path)
                wished = wished and (path > after or after.startswith(path))
                ours = name != entry.name
            else:
                name = entry.name
                path = base + name
                wished = path.startswith(prefix) and path > after
                ours = len(path) <= KEY_MAX
            if wished and ours and path > last and KEY_FORM.fullmatch(name):
                yield path
