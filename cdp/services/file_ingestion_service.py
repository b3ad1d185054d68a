"""The File Ingestion Service: makes communications of the rows of a file.

A file belongs to one ingestion at a time, by a lease. Rows go in stretches: those that are right
are taken in, the rejects of the stretch are stored, and then the checkpoint is. Who dies in between
has done nothing that a repeat would double: ids follow from file and row, and the rejects of a
stretch have one key (rule F4).

A turn ends between two stretches, once it was long enough and another file waits. What stops a file
in the middle makes it rest, longer each time, while others go on.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Sequence
from typing import Final

from cdp.domain.file_turn import pause_s, turn_s
from cdp.domain.ids import BatchId, ClientId
from cdp.domain.request_file import (
    OPEN,
    Checkpoint,
    FileState,
    RequestFile,
    advanced,
    begun,
    failed,
    held_up,
    read_through,
    stumbled,
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
    SenderGone,
    Stretch,
    Taken,
)
from cdp.services.reject_files import rejects_part
from cdp.storage.batches import Batch, Batches
from cdp.storage.file_turns import FileTurns, WaitingFile
from cdp.storage.request_files import RequestFiles
from cdp.telemetry import Telemetry

log = logging.getLogger(__name__)

LEASE_S: Final = 30.0
CLAIMS_MAX: Final = 20
"""Files that others were quicker to take, before this round is given up."""
RETRY_S: Final = 1.0
PART_BYTES_MAX: Final = 256 * 1024 * 1024
OUR_ERROR: Final = "An error of the platform ended it; its operator finds it in the log by this id."
SENDER_GONE: Final = "Its client is not there any more; ask the platform's operator."


class Overtaken(Exception):
    """Somebody else has changed the file: it is cancelled, or another works on it."""


class TurnOver(Exception):
    """Another file waits; this one goes on later, after a rest."""

    def __init__(self, rest_s: float) -> None:
        super().__init__()
        self.rest_s = rest_s


class _Turn:
    """How long this file may be worked on yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._length_s = turn_s(going_back_s=0.0)
        self._is_there = False

    def arrived(self) -> None:
        """The first rows are here: what it took to get to them says how long it should be."""
        if not self._is_there:
            self._is_there = True
            self._length_s = turn_s(going_back_s=self._clock.monotonic() - self._began)
            self.again()

    def again(self) -> None:
        """Nobody waits: it begins anew where it is."""
        self._began = self._clock.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether others are to be looked at: never before there was a stretch."""
        return self._is_there and self._clock.monotonic() - self._began >= self._length_s


class FileIngestionService:
    """Works on one file at a time, in turns."""

    def __init__(
        self,
        *,
        files: RequestFiles,
        turns: FileTurns,
        batches: Batches,
        source: RowSource,
        intake: RowIntake,
        store: ObjectStore,
        clock: Clock,
        telemetry: Telemetry,
        worker: str,
        lease_s: float = LEASE_S,
    ) -> None:
        """`worker` names this process for ever."""
        self._files = files
        self._turns = turns
        self._batches = batches
        self._source = source
        self._intake = intake
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._worker = worker
        self._lease_s = lease_s
        self._turn = _Turn(clock)
        self._last: ClientId | None = None
        self.is_busy = False
        """Whether a file is being worked on."""
        self.rows = 0
        """Rows that this process has decided on."""

    async def step(self) -> bool:
        """Give a file that waits its turn, of the client that comes next; whether there was one."""
        for _ in range(CLAIMS_MAX):
            file = await self._turns.next_across_clients(after=self._last)
            if file is None:
                return False
            self._last = file.client_id
            if await self._turns.claim(file, holder=self._worker, ttl_s=self._lease_s):
                await self._work(file)
                return True
        return False

    async def _work(self, file: WaitingFile) -> None:
        self.is_busy, rest_s = True, 0.0
        renewing = asyncio.create_task(self._renew(file))
        try:
            await self._through(file)
        except Overtaken:
            log.info("a file is somebody else's now", extra={"file": file.id.hex()})
            await self._turns.note_batch_open(file)
        except TurnOver as over:
            rest_s = over.rest_s
        except Exception as error:
            rest_s = await self._stopped(file, error)
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            self.is_busy = False
            with contextlib.suppress(OutcomeUnknown):
                await self._turns.let_go(file, holder=self._worker, rest_s=rest_s)

    async def _stopped(self, file: WaitingFile, error: Exception) -> float:
        """Note what has ended the work in the middle; for how long the file is to rest.

        What is done stands at the checkpoint; whoever comes next goes on there.
        """
        is_outage = isinstance(error, OutcomeUnknown | StoreUnavailable)
        facts: dict[str, object] = {"file": file.id.hex(), "error": type(error).__name__}
        if is_outage:
            log.warning("a file waits", extra=facts)
        else:
            # The message of the error may hold what was sent, so it is left out.
            trace = traceback.format_tb(error.__traceback__)
            log.error("a file could not be worked on", extra=facts | {"trace": trace})
            self._telemetry.count("cdp_loop_errors", loop="file")
        try:
            stored = await self._files.find(file.client_id, file.id)
            if stored is None or stored.state not in OPEN:
                return 0.0
            after = self._after(stored, error, is_outage=is_outage)
            await self._files.replace(after, holder=self._worker)
        except OutcomeUnknown:
            return pause_s(stops=1)
        return pause_s(stops=after.tries + after.outages)

    def _after(self, file: RequestFile, error: Exception, *, is_outage: bool) -> RequestFile:
        now = self._clock.now()
        if is_outage:
            return held_up(file, at=now)
        if isinstance(error, SenderGone):
            return stumbled(file, reason="client_gone", why=SENDER_GONE, at=now)
        return stumbled(file, reason="internal_error", why=OUR_ERROR, at=now)

    async def _renew(self, file: WaitingFile) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._turns.renew(file, holder=self._worker, ttl_s=self._lease_s)
            except OutcomeUnknown as error:
                log.warning("a lease waits for MongoDB", extra={"error": type(error).__name__})

    async def _through(self, claimed: WaitingFile) -> None:
        # As it is now: it may have been changed between the look and the claim.
        file = await self._files.find(claimed.client_id, claimed.id)
        if file is None:
            raise Overtaken
        self._turn = _Turn(self._clock)
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
                    # Here, and not behind the one before: that may have been the last.
                    await self._give_way(file)
                    self._turn.arrived()
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
                await self._give_way(file, rest_s=taken.retry_after_s)
        return faults

    async def _give_way(self, file: RequestFile, *, rest_s: float = 0.0) -> None:
        """End the turn, if it was long enough and another file waits: first other clients'."""
        if not self._turn.is_over:
            return
        if await self._turns.next_across_clients(after=file.client_id) is not None:
            raise TurnOver(rest_s)
        self._turn.again()

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
