"""From the spool to the platform: which uploads are complete, and what becomes of each.

The platform has a file once `FileService.take` returns; then it leaves the spool. Who dies in
between finds it marked as being handed over and first looks whether the platform has it.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from cdp.domain.ids import text_of
from cdp.domain.request_file import SAME_FILE, FileSource, FileState, RequestFile
from cdp.errors import CdpError, Invalid, Overloaded
from cdp.ports.clock import Clock
from cdp.ports.object_store import CHUNK_BYTES
from cdp.services.file_service import FileService, NewFile, shown_name
from cdp.sftp.names import is_unfinished
from cdp.sftp.outputs import ClientFiles
from cdp.sftp.spool import Spool
from cdp.sftp.upload import Stage, Upload
from cdp.telemetry import Telemetry

SETTLE_S: Final = 10.0
"""How long an upload whose name says nothing rests after it was closed, before it counts."""
KEPT: Final = timedelta(hours=24)
"""For how long an upload that was cut off may be resumed."""
TICK_S: Final = 0.25
SWEEP_S: Final = 60.0
AT_ONCE: Final = 4
"""Uploads that are handed over at once: one of each account."""
RETRY_FIRST_S: Final = 1.0
RETRY_CAP_S: Final = 60.0
RECENT_S: Final = 60.0
RECENT_MAX: Final = 10_000

log = logging.getLogger(__name__)


class HandOver:
    """Looks through the spool again and again."""

    def __init__(
        self,
        *,
        spool: Spool,
        files: FileService,
        listed: ClientFiles,
        clock: Clock,
        telemetry: Telemetry,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._spool = spool
        self._files = files
        self._listed = listed
        self._clock = clock
        self._telemetry = telemetry
        self._settle = timedelta(seconds=settle_s)
        self._busy: dict[bytes, asyncio.Task[None]] = {}
        self._waits: dict[bytes, tuple[float, float]] = {}
        self._recent: OrderedDict[tuple[bytes, str], tuple[float, int, float]] = OrderedDict()
        self._swept_at = clock.monotonic()

    def recent(self, account_id: bytes, name: str) -> tuple[int, float] | None:
        """Size and time of what was handed over just now.

        Its sender may look whether it has arrived, or set its time, after the rename.
        """
        found = self._recent.get((account_id, name))
        if found is None or self._clock.monotonic() - found[0] > RECENT_S:
            return None
        return found[1:]

    @property
    def is_waited_for(self) -> bool:
        """Whether an upload is out of its sender's hands, or soon will be, and not handed over."""
        return any(
            upload.is_complete or (upload.stage is Stage.CLOSED and not is_unfinished(upload.name))
            for upload in self._spool.everything()
        )

    async def tick(self) -> None:
        """Look once: what is complete begins to be handed over, what is given up goes."""
        # By age, so that nobody's files wait for all of another's.
        for upload in sorted(self._spool.everything(), key=lambda each: each.id):
            try:
                if upload.is_complete:
                    self._begin(upload)
                elif not upload.is_being_written:
                    await self._judge(upload)
            except OSError as error:
                # Its note can't be kept now; the others' may.
                self._failed(upload, error)
        if self._clock.monotonic() - self._swept_at >= SWEEP_S:
            self._swept_at = self._clock.monotonic()
            for account_id in self._spool.account_ids():
                await self._spool.forget_refusals(account_id)

    async def _judge(self, upload: Upload) -> None:
        age = self._clock.now() - upload.touched_at
        if age >= KEPT:
            await self._refuse(upload, "This upload was never finished, and its time is over.")
        elif (
            upload.stage is Stage.CLOSED and age >= self._settle and not is_unfinished(upload.name)
        ):
            await self._spool.move(upload, Stage.COMPLETE)
            self._begin(upload)

    def _begin(self, upload: Upload) -> None:
        _, not_before = self._waits.get(upload.id, (0.0, 0.0))
        is_free = upload.account_id not in self._busy and len(self._busy) < AT_ONCE
        if is_free and self._clock.monotonic() >= not_before:
            task = asyncio.create_task(self._hand_over(upload))
            self._busy[upload.account_id] = task
            task.add_done_callback(lambda _: self._busy.pop(upload.account_id, None))

    async def drain(self, *, within_s: float) -> None:
        """Wait for what is being handed over just now; what takes longer begins anew later."""
        if self._busy:
            _, late = await asyncio.wait(list(self._busy.values()), timeout=within_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _hand_over(self, upload: Upload) -> None:
        try:
            try:
                await self._give(upload)
            except Overloaded as error:
                log.warning("a file has to wait", extra={"error": type(error).__name__})
                self._wait(upload, at_least=float(error.retry_after_s))
            except CdpError as refusal:
                await self._refuse(upload, _sentence(refusal))
        except Exception as error:
            self._failed(upload, error)

    def _failed(self, upload: Upload, error: Exception) -> None:
        facts = {"error": type(error).__name__}
        log.error("a file could not be handed over", extra=facts, exc_info=error)
        self._telemetry.count("cdp_loop_errors", loop="sftp-handover")
        self._wait(upload)

    async def _give(self, upload: Upload) -> None:
        insist = False
        if upload.stage is Stage.HANDING:
            found = await self._known(upload)
            if found is not None and found.created_at >= upload.touched_at:
                await self._given(upload)
                return
            if found is not None:
                await self._refuse(upload, _same_as(found))
                return
            # The platform has noted these bytes, perhaps, but has no file of them: they are new.
            insist = True
        else:
            await self._spool.move(upload, Stage.HANDING)
        new = NewFile(
            name=upload.name, source=FileSource.SFTP, options=upload.options, insist=insist
        )
        await self._files.take(upload.client_id, new, _chunks(self._spool.data(upload)))
        await self._given(upload)

    async def _known(self, upload: Upload) -> RequestFile | None:
        """The file that has these bytes: the one that this upload became, or one before it."""
        digest = await asyncio.to_thread(_digest, self._spool.data(upload))
        since = self._clock.now() - SAME_FILE
        async for file in self._listed.scan(upload.client_id):
            if file.created_at < min(since, upload.touched_at):
                return None
            if file.digest != digest:
                continue
            is_it = file.source is FileSource.SFTP and file.name == shown_name(upload.name)
            if file.created_at >= upload.touched_at and is_it:
                return file
            # One that was taken back before it began may come again.
            began = file.state is not FileState.CANCELLED or file.checkpoint.counts.rows
            if file.created_at < upload.touched_at and began:
                return file
        return None

    async def _given(self, upload: Upload) -> None:
        key = (upload.account_id, upload.name)
        self._recent[key] = (self._clock.monotonic(), upload.size, upload.shown_at)
        self._recent.move_to_end(key)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        await self._spool.remove(upload)
        self._done(upload, "taken")

    async def _refuse(self, upload: Upload, why: str) -> None:
        await self._spool.refuse(upload, why)
        self._done(upload, "refused")

    def _done(self, upload: Upload, outcome: str) -> None:
        self._waits.pop(upload.id, None)
        self._listed.forget(upload.client_id)
        self._telemetry.count("cdp_sftp_uploads", outcome=outcome)

    def _wait(self, upload: Upload, *, at_least: float = 0.0) -> None:
        before, _ = self._waits.get(upload.id, (0.0, 0.0))
        wait = min(RETRY_CAP_S, max(at_least, before * 2 or RETRY_FIRST_S))
        self._waits[upload.id] = (wait, self._clock.monotonic() + wait)


def _sentence(refusal: CdpError) -> str:
    if isinstance(refusal, Invalid):
        return " ".join(error.detail for error in refusal.errors) or refusal.detail
    return refusal.detail or str(refusal)


def _same_as(file: RequestFile) -> str:
    return f"The same bytes have come within a day, as the file {text_of(file.id)}."


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb", 0)
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
