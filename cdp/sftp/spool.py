"""Uploads on the way: on this machine's disk until the platform has them.

An upload is two files called by an id of ours: its bytes, and a note of what it is. Names stand
in notes alone. A note is replaced in one step and synced, so what it says of an upload survives
any crash: above all whether it is complete.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from cdp.domain.ids import fresh_id
from cdp.domain.sftp_account import SftpAccount
from cdp.ports.clock import Clock
from cdp.sftp.upload import Refusal, Stage, Upload

FREE_BYTES_MIN: Final = 1024**3
"""Of the disk, so that others who write there can go on."""
REFUSALS_MAX: Final = 1_000
"""Of an account; the oldest go."""
REFUSALS_KEPT: Final = timedelta(days=30)

_NOTE, _DATA, _REFUSED, _NEW = ".json", ".data", ".refused", ".new"
_OUTPUTS: Final = "out"
_OURS: Final = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger(__name__)


class SpoolTaken(Exception):
    """Another gateway works in this folder."""


@dataclass(slots=True)
class _Account:
    uploads: dict[bytes, Upload] = field(default_factory=dict)
    refusals: dict[bytes, Refusal] = field(default_factory=dict)
    size: int = 0
    """Bytes of all uploads."""


class Spool:
    """The uploads of all accounts. One process owns the folder, and one event loop this object."""

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        free_bytes_min: int = FREE_BYTES_MIN,
        refusals_max: int = REFUSALS_MAX,
    ) -> None:
        self._root = root
        self._clock = clock
        self._random_bytes = random_bytes
        self._free_bytes = free_bytes
        self._free_bytes_min = free_bytes_min
        self._refusals_max = refusals_max
        self._accounts: dict[bytes, _Account] = {}
        self._lock: int | None = None

    def open(self) -> None:
        """Take the folder and read what is in it.

        Raises:
            SpoolTaken: somebody else has it.
            OSError: it can't be read or written.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise SpoolTaken from None
        self._lock = lock
        for folder in self._root.iterdir():
            if folder.is_dir() and _OURS.fullmatch(folder.name):
                self._accounts[bytes.fromhex(folder.name)] = _read_account(folder)

    def close(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def everything(self) -> list[Upload]:
        """All uploads there are."""
        return [upload for each in self._accounts.values() for upload in each.uploads.values()]

    def uploads(self, account_id: bytes) -> list[Upload]:
        """An account's uploads, the newest first."""
        known = self._accounts.get(account_id)
        return [] if known is None else sorted(known.uploads.values(), key=_by_id, reverse=True)

    def find(self, account_id: bytes, name: str) -> Upload | None:
        """The upload of this name that is not complete yet."""
        known = self._accounts.get(account_id)
        for upload in () if known is None else known.uploads.values():
            if upload.name == name and not upload.is_complete:
                return upload
        return None

    def refusals(self, account_id: bytes) -> list[Refusal]:
        """What was refused of an account, the newest first."""
        known = self._accounts.get(account_id)
        return [] if known is None else sorted(known.refusals.values(), key=_by_id, reverse=True)

    def used(self, account_id: bytes) -> tuple[int, int]:
        """How many bytes and uploads of an account there are."""
        known = self._accounts.get(account_id)
        return (0, 0) if known is None else (known.size, len(known.uploads))

    def resize(self, upload: Upload, size: int) -> None:
        """Note how long an upload is now."""
        self._accounts[upload.account_id].size += size - upload.size
        upload.size = size

    def has_room(self) -> bool:
        """Whether the disk has more left than others need."""
        return self._free_bytes(self._root) >= self._free_bytes_min

    def data(self, upload: Upload) -> Path:
        """Where an upload's bytes are."""
        return self._folder(upload.account_id) / f"{upload.id.hex()}{_DATA}"

    def outputs(self, account_id: bytes) -> Path:
        """Where what an account fetches may lie for a while."""
        folder = self._folder(account_id) / _OUTPUTS
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _folder(self, account_id: bytes) -> Path:
        return self._root / account_id.hex()

    async def create(self, account: SftpAccount, name: str) -> Upload:
        """A new upload, still empty, for its sender to write."""
        now = self._clock.now()
        upload = Upload(
            id=fresh_id(now, self._random_bytes),
            account_id=account.id,
            client_id=account.client_id,
            name=name,
            options=dict(account.defaults),
            stage=Stage.OPEN,
            touched_at=now,
            is_being_written=True,
        )
        known = self._accounts.setdefault(account.id, _Account())
        # At once in the index, so that nobody takes the name while the disk is waited for.
        known.uploads[upload.id] = upload
        try:
            await asyncio.to_thread(self._create, upload)
        except BaseException:
            await self.remove(upload)
            raise
        return upload

    def _create(self, upload: Upload) -> None:
        folder = self._folder(upload.account_id)
        folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(self.data(upload), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _write_note(folder / f"{upload.id.hex()}{_NOTE}", upload.note())

    async def move(self, upload: Upload, stage: Stage, *, name: str | None = None) -> None:
        """Say for good how far an upload is, and what it is called.

        Raises:
            OSError: that could not be kept; then it is as it was.
        """
        before = (upload.stage, upload.name, upload.touched_at)
        upload.stage, upload.name = stage, name or upload.name
        upload.touched_at = self._clock.now()
        path = self._folder(upload.account_id) / f"{upload.id.hex()}{_NOTE}"
        try:
            await asyncio.to_thread(_write_note, path, upload.note())
        except BaseException:
            upload.stage, upload.name, upload.touched_at = before
            raise

    async def remove(self, upload: Upload) -> None:
        """Forget an upload."""
        known = self._accounts[upload.account_id]
        if known.uploads.pop(upload.id, None) is not None:
            known.size -= upload.size
        await asyncio.to_thread(self._unlink, upload)

    def _unlink(self, upload: Upload) -> None:
        folder = self._folder(upload.account_id)
        # The note goes first: without one, bytes are nothing, and the next start sweeps them.
        for ending in (_NOTE, _DATA):
            (folder / f"{upload.id.hex()}{ending}").unlink(missing_ok=True)

    async def refuse(self, upload: Upload, why: str) -> None:
        """Forget an upload and keep the reason, for its sender to read."""
        refusal = Refusal(id=upload.id, name=upload.name, text=why, at=self._clock.now())
        known = self._accounts[upload.account_id]
        known.refusals[refusal.id] = refusal
        path = self._folder(upload.account_id) / f"{refusal.id.hex()}{_REFUSED}"
        await asyncio.to_thread(_write_note, path, refusal.note())
        await self.remove(upload)
        await self.forget_refusals(upload.account_id)

    async def forget_refusals(self, account_id: bytes) -> None:
        """Let reasons go that are old, or too many."""
        since = self._clock.now() - REFUSALS_KEPT
        known = self._accounts[account_id]
        for index, refusal in enumerate(self.refusals(account_id)):
            if index >= self._refusals_max or refusal.at < since:
                del known.refusals[refusal.id]
                path = self._folder(account_id) / f"{refusal.id.hex()}{_REFUSED}"
                await asyncio.to_thread(path.unlink, missing_ok=True)

    def account_ids(self) -> Iterable[bytes]:
        """Whose folders there are."""
        return list(self._accounts)


def _by_id(each: Upload | Refusal) -> bytes:
    return each.id


def _read_account(folder: Path) -> _Account:
    account = _Account()
    shutil.rmtree(folder / _OUTPUTS, ignore_errors=True)
    for path in sorted(folder.iterdir()):
        try:
            if path.suffix == _NOTE:
                size = path.with_suffix(_DATA).stat().st_size
                upload = Upload.of_note(json.loads(path.read_bytes()), size=size)
                account.uploads[upload.id] = upload
                account.size += upload.size
            elif path.suffix == _REFUSED:
                refusal = Refusal.of_note(json.loads(path.read_bytes()))
                account.refusals[refusal.id] = refusal
            elif path.suffix == _DATA and not path.with_suffix(_NOTE).exists():
                # Its note never was, or is gone.
                path.unlink()
            elif path.suffix == _NEW:
                path.unlink()
        except (ValueError, KeyError, FileNotFoundError) as error:
            # Somebody has been here. What can't be read stays, for people to look at.
            log.error("a note in the spool is damaged", extra={"error": type(error).__name__})
    return account


def _write_note(path: Path, note: dict[str, Any]) -> None:
    """Replace a note in one step, for good."""
    temporary = path.with_name(path.name + _NEW)
    try:
        with temporary.open("wb", buffering=0) as file:
            file.write(json.dumps(note).encode())
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
