"""What clients fetch: lists of their files, and results and rejects as files with a size."""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from asyncssh import SFTPNoSpaceOnFilesystem, SFTPQuotaExceeded

from cdp.domain.ids import ClientId
from cdp.domain.request_file import FileSource, RequestFile
from cdp.ports.clock import Clock
from cdp.services.file_service import FileService
from cdp.sftp.handles import ReadHandle
from cdp.sftp.spool import Spool

LISTED_MAX: Final = 1_000
"""Files in a folder: the newest."""
SCANNED_MAX: Final = 10_000
"""Files of a client, however they came, that are looked through for one's bytes."""
PAGE: Final = 500
LIST_S: Final = 2.0
"""For how long a list is taken for new."""
CLIENTS_MAX: Final = 200
"""Clients whose lists are kept."""
NEW_MIN_S: Final = 5.0
"""For how long a made file is taken for new at least: a client asks for its size, then for its
bytes, and both must be of the same file."""
NEW_MAX_S: Final = 60.0
NEW_SHARE: Final = 20.0
"""Between these, it is new for so many times what it took to make it: whoever looks again and
again sees what is there, and a file of a million rows is not made again for each look."""
MADE_MAX: Final = 20
"""Made files of an account; whoever has one open keeps it."""

FileReader = Callable[[RequestFile], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReaders:
    """What the platform has of a file, a piece at a time."""

    source: FileReader
    """As it was sent."""
    results: FileReader
    """What became of each row."""
    rejects: FileReader
    """The rows that were rejected."""


class ClientFiles:
    """The newest files of clients that came by SFTP."""

    def __init__(self, files: FileService, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._known: OrderedDict[ClientId, tuple[float, list[RequestFile]]] = OrderedDict()
        self._asking: WeakValueDictionary[ClientId, asyncio.Lock] = WeakValueDictionary()

    async def newest(self, client_id: ClientId) -> list[RequestFile]:
        """A client's files, the newest first."""
        turn = self._asking.setdefault(client_id, asyncio.Lock())
        async with turn:
            known = self._known.get(client_id)
            if known is None or self._clock.monotonic() - known[0] > LIST_S:
                known = (self._clock.monotonic(), await self._read(client_id))
                self._known[client_id] = known
                if len(self._known) > CLIENTS_MAX:
                    self._known.popitem(last=False)
            return known[1]

    async def _read(self, client_id: ClientId) -> list[RequestFile]:
        return [
            file async for file in self._newest(client_id, source=FileSource.SFTP, most=LISTED_MAX)
        ]

    def scan(self, client_id: ClientId) -> AsyncIterator[RequestFile]:
        """A client's files however they came, the newest first, up to `SCANNED_MAX`."""
        return self._newest(client_id, source=None, most=SCANNED_MAX)

    async def _newest(
        self, client_id: ClientId, *, source: FileSource | None, most: int
    ) -> AsyncIterator[RequestFile]:
        before: bytes | None = None
        for _ in range(0, most, PAGE):
            page = await self._files.page(client_id, source=source, before=before, limit=PAGE)
            for file in page:
                yield file
            if len(page) < PAGE:
                return
            before = page[-1].id

    def forget(self, client_id: ClientId) -> None:
        """There is a new one."""
        self._known.pop(client_id, None)


@dataclass(slots=True, kw_only=True, eq=False)
class Made:
    """A file that was made to be fetched."""

    path: Path
    size: int
    new_until: float
    """By the monotonic clock."""
    readers: int = 0
    """Who has it open. Its bytes are on the disk until the last of them is gone."""


class Outputs:
    """Writes what is fetched to the spool, so that it has a size and can be read anywhere."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._made: dict[bytes, OrderedDict[str, Made]] = {}
        self._held: dict[bytes, set[Made]] = {}
        """Those that are gone, but are read still."""
        self._turns: dict[bytes, asyncio.Lock] = {}

    def known(self, account_id: bytes, key: str) -> Made | None:
        """The file of this key, if it was made lately."""
        of_account = self._made.get(account_id)
        made = None if of_account is None else of_account.get(key)
        if made is None or self._clock.monotonic() > made.new_until:
            return None
        return made

    async def make(
        self,
        account_id: bytes,
        key: str,
        read: Callable[[], AsyncIterator[bytes]],
        *,
        bytes_max: int,
    ) -> Made:
        """The file of this key, made anew unless that was lately. One at a time for an account.

        Args:
            account_id: for whom.
            key: names what it holds.
            read: its bytes.
            bytes_max: what all made files of the account may have together.

        Raises:
            SFTPError: there is no room for it.
        """
        async with self._turns.setdefault(account_id, asyncio.Lock()):
            known = self.known(account_id, key)
            if known is not None:
                return known
            name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
            path = self._spool.outputs(account_id) / name
            of_account = self._made.setdefault(account_id, OrderedDict())
            if key in of_account:
                self._forget(account_id, key)

            def require_room(size: int) -> None:
                while of_account and self._used(account_id) + size > bytes_max:
                    self._forget(account_id, next(iter(of_account)))
                if self._used(account_id) + size > bytes_max:
                    raise SFTPQuotaExceeded("It is too large, beside what is open already.")
                if not self._spool.has_room():
                    raise SFTPNoSpaceOnFilesystem("There is no room for this now.")

            began = self._clock.monotonic()
            size = await _write(path, read(), require_room)
            made = Made(path=path, size=size, new_until=_new_until(began, self._clock.monotonic()))
            of_account[key] = made
            while len(of_account) > MADE_MAX:
                self._forget(account_id, next(iter(of_account)))
            return made

    def _used(self, account_id: bytes) -> int:
        made = [*self._made[account_id].values(), *self._held.get(account_id, ())]
        return sum(each.size for each in made)

    def _forget(self, account_id: bytes, key: str) -> None:
        made = self._made[account_id].pop(key)
        made.path.unlink(missing_ok=True)
        if made.readers:
            self._held.setdefault(account_id, set()).add(made)

    def read(self, account_id: bytes, made: Made) -> ReadHandle:
        """Open a made file."""

        def ended() -> None:
            made.readers -= 1
            if not made.readers:
                self._held.get(account_id, set()).discard(made)

        handle = ReadHandle(made.path, ended=ended)
        made.readers += 1
        return handle

    def sweep(self) -> None:
        """Take away what was made a while ago."""
        for account_id, of_account in self._made.items():
            for key, made in list(of_account.items()):
                if self._clock.monotonic() > made.new_until:
                    self._forget(account_id, key)


def _new_until(began: float, ended: float) -> float:
    return ended + min(max(NEW_MIN_S, NEW_SHARE * (ended - began)), NEW_MAX_S)


async def _write(
    path: Path, pieces: AsyncIterator[bytes], require_room: Callable[[int], None]
) -> int:
    """Write a file whole or not at all; how long it is."""
    new, size = path.with_name(path.name + ".new"), 0
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        async for piece in pieces:
            size += len(piece)
            require_room(size)
            rest = memoryview(piece)
            while rest:
                rest = rest[await asyncio.to_thread(os.write, fd, rest) :]
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
        # At once, where it was not read to its end: it may hold a connection.
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
    return size
