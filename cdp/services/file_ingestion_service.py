"""The File Ingestion Service: makes communications of the rows of a file.

A file belongs to one ingestion at a time, by a lease. Rows go in stretches: those that are right
are taken in, the rejects of the stretch are stored, and then the checkpoint is. Who dies in between
has done nothing that a repeat would double: ids follow from file and row, and the rejects of a
stretch have one key (rule F4).
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final

from cdp.domain.ids import BatchId
from cdp.domain.request_file import (
    Checkpoint,
    FileState,
    RequestFile,
    advanced,
    begun,
    failed,
    read_through,
)
from cdp.errors import OutcomeUnknown
from cdp.file_formats.faults import RowFault
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore, StoreUnavailable
from cdp.ports.row_intake import (
    FileRow,
    FileUnreadable,
    RowIntake,
    RowSource,
    Stretch,
    Taken,
)
from cdp.services.reject_files import rejects_part
from cdp.storage.batches import Batch, Batches
from cdp.storage.request_files import RequestFiles

log = logging.getLogger(__name__)

LEASE_S: Final = 30.0
CANDIDATES: Final = 20
RETRY_S: Final = 1.0
PART_BYTES_MAX: Final = 256 * 1024 * 1024


class Overtaken(Exception):
    """Somebody else has changed the file: it is cancelled, or another works on it."""


class FileIngestionService:
    """Works on one file after the other."""

    def __init__(
        self,
        *,
        files: RequestFiles,
        batches: Batches,
        source: RowSource,
        intake: RowIntake,
        store: ObjectStore,
        clock: Clock,
        worker: str,
        lease_s: float = LEASE_S,
    ) -> None:
        """`worker` names this process for ever."""
        self._files = files
        self._batches = batches
        self._source = source
        self._intake = intake
        self._store = store
        self._clock = clock
        self._worker = worker
        self._lease_s = lease_s
        self.is_busy = False
        """Whether a file is being worked on."""
        self.rows = 0
        """Rows that this process has decided on."""

    async def step(self) -> bool:
        """Work on a file that waits, to its end; whether there was one."""
        for file in await self._files.waiting_across_clients(limit=CANDIDATES):
            if await self._files.claim(file, holder=self._worker, ttl_s=self._lease_s):
                await self._work(file)
                return True
        return False

    async def _work(self, file: RequestFile) -> None:
        self.is_busy = True
        renewing = asyncio.create_task(self._renew(file))
        try:
            await self._through(file)
        except Overtaken:
            log.info("a file is somebody else's now", extra={"file": file.id.hex()})
        except (OutcomeUnknown, StoreUnavailable) as error:
            # What is done stands at the checkpoint; whoever comes next goes on there.
            facts = {"file": file.id.hex(), "error": type(error).__name__}
            log.warning("a file waits", extra=facts)
            await asyncio.sleep(RETRY_S)
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            self.is_busy = False
            with contextlib.suppress(OutcomeUnknown):
                await self._files.let_go(file, holder=self._worker)

    async def _renew(self, file: RequestFile) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._files.renew(file, holder=self._worker, ttl_s=self._lease_s)
            except OutcomeUnknown as error:
                log.warning("a lease waits for MongoDB", extra={"error": type(error).__name__})

    async def _through(self, claimed: RequestFile) -> None:
        # As it is now: it may have been changed between the look and the claim.
        file = await self._files.find(claimed.client_id, claimed.id)
        if file is None:
            raise Overtaken
        again = file.state is not FileState.WAITING
        file = await self._save(begun(file, at=self._clock.now()), file)
        while file.state in (FileState.CHECKING, FileState.INGESTING):
            if file.state is FileState.INGESTING:
                await self._begin_batch(file)
            file = await self._pass(file, again=again)
            again = False

    async def _begin_batch(self, file: RequestFile) -> None:
        batch = Batch(id=BatchId(file.id), client_id=file.client_id, created_at=file.created_at)
        await self._batches.begin(batch)

    async def _pass(self, file: RequestFile, *, again: bool) -> RequestFile:
        """Go through the file once; the file as it is then."""
        checking = file.state is FileState.CHECKING
        begin = (file.checked or Checkpoint()) if checking else file.checkpoint
        try:
            async with contextlib.aclosing(self._source.stretches(file, begin)) as stretches:
                async for stretch in stretches:
                    faults = await self._take(file, stretch.rows, again=again)
                    again = False
                    begin = await self._settled(file, begin, stretch, faults)
                    file = await self._save(advanced(file, begin, at=self._clock.now()), file)
                    self.rows += len(stretch.rows)
        except FileUnreadable as error:
            broken = failed(file, reason=error.reason, detail=error.detail, at=self._clock.now())
            return await self._save(broken, file)
        after = read_through(file, at=self._clock.now())
        if after.state is FileState.DONE:
            # First, since nobody looks at a file again that is done.
            await self._finish_batch(after)
        return await self._save(after, file)

    async def _finish_batch(self, file: RequestFile) -> None:
        counts = file.checkpoint.counts
        await self._batches.finish(
            BatchId(file.id),
            accepted=counts.accepted,
            rejected=counts.rejected,
            results=counts.accepted,
        )

    async def _take(
        self, file: RequestFile, rows: Sequence[FileRow], *, again: bool
    ) -> dict[int, RowFault]:
        """Decide on every row, however long the platform is full."""
        faults = {row.number: row.fault for row in rows if row.fault is not None}
        open_rows = [row for row in rows if row.fault is None]
        while open_rows:
            taken = await self._decide(file, open_rows, again=again)
            faults |= taken.faults
            open_rows = [row for row in open_rows if row.number in taken.later]
            if open_rows:
                again = True
                await self._wait(file, taken.retry_after_s)
        return faults

    async def _decide(self, file: RequestFile, rows: Sequence[FileRow], *, again: bool) -> Taken:
        if file.state is FileState.CHECKING:
            return await self._intake.check(file, rows)
        return await self._intake.accept(file, rows, again=again)

    async def _wait(self, file: RequestFile, seconds: float) -> None:
        """Slow down instead of failing; a file that was cancelled meanwhile ends."""
        await asyncio.sleep(max(seconds, RETRY_S))
        stored = await self._files.find(file.client_id, file.id)
        if stored is None or stored.version != file.version:
            raise Overtaken

    async def _settled(
        self,
        file: RequestFile,
        begin: Checkpoint,
        stretch: Stretch,
        faults: dict[int, RowFault],
    ) -> Checkpoint:
        """The checkpoint behind a stretch, whose rejects are stored by then."""
        part = begin.parts
        if faults:
            content = rejects_part(
                (row, faults[row.number]) for row in stretch.rows if row.number in faults
            )
            await self._store.put(file.rejects_key(part), _one(content), size_max=PART_BYTES_MAX)
            part += 1
        return Checkpoint(
            counts=begin.counts.plus(
                accepted=len(stretch.rows) - len(faults), rejected=len(faults)
            ),
            position=stretch.position,
            parts=part,
        )

    async def _save(self, file: RequestFile, before: RequestFile) -> RequestFile:
        if file is before:
            return file
        if not await self._files.replace(file, holder=self._worker):
            raise Overtaken
        return file


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
