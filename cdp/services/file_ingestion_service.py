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
from typing import Final

from cdp.domain.file_turn import pause_s
from cdp.domain.ids import BatchId, ClientId
from cdp.domain.request_file import (
    OPEN,
    FileState,
    RequestFile,
    begun,
    failed,
    held_up,
    read_through,
    stumbled,
)
from cdp.errors import OutcomeUnknown
from cdp.ports.object_store import StoreUnavailable
from cdp.ports.row_intake import FileUnreadable, SenderGone
from cdp.services.file_pass import FilePass, FileTools, Overtaken
from cdp.services.file_turn import Turn, TurnOver
from cdp.storage.batches import Batch, Batches
from cdp.storage.file_turns import FileTurns, WaitingFile
from cdp.telemetry import Telemetry

log = logging.getLogger(__name__)

LEASE_S: Final = 10.0
CLAIMS_MAX: Final = 20
"""Files that others were quicker to take, before this round is given up."""
OUR_ERROR: Final = "An error of the platform ended it; its operator finds it in the log by this id."
SENDER_GONE: Final = "Its client is not there any more; ask the platform's operator."


class FileIngestionService:
    """Works on one file at a time, in turns."""

    def __init__(
        self,
        *,
        tools: FileTools,
        turns: FileTurns,
        batches: Batches,
        telemetry: Telemetry,
        lease_s: float = LEASE_S,
    ) -> None:
        self._tools = tools
        self._turns = turns
        self._batches = batches
        self._telemetry = telemetry
        self._lease_s = lease_s
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
            if await self._turns.claim(file, holder=self._tools.worker, ttl_s=self._lease_s):
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
                await self._turns.let_go(file, holder=self._tools.worker, rest_s=rest_s)

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
            stored = await self._tools.files.find(file.client_id, file.id)
            if stored is None or stored.state not in OPEN:
                return 0.0
            after = self._after(stored, error, is_outage=is_outage)
            await self._tools.files.replace(after, holder=self._tools.worker)
        except OutcomeUnknown:
            return pause_s(stops=1)
        return pause_s(stops=after.tries + after.outages)

    def _after(self, file: RequestFile, error: Exception, *, is_outage: bool) -> RequestFile:
        now = self._tools.clock.now()
        if is_outage:
            return held_up(file, at=now)
        if isinstance(error, SenderGone):
            return stumbled(file, reason="client_gone", why=SENDER_GONE, at=now)
        return stumbled(file, reason="internal_error", why=OUR_ERROR, at=now)

    async def _renew(self, file: WaitingFile) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._turns.renew(file, holder=self._tools.worker, ttl_s=self._lease_s)
            except OutcomeUnknown as error:
                log.warning("a lease waits for MongoDB", extra={"error": type(error).__name__})

    async def _through(self, claimed: WaitingFile) -> None:
        # As it is now: it may have been changed between the look and the claim.
        file = await self._tools.files.find(claimed.client_id, claimed.id)
        if file is None:
            raise Overtaken
        turn = Turn(file.client_id, turns=self._turns, clock=self._tools.clock)
        again = file.state is not FileState.WAITING
        file = begun(file, at=self._tools.clock.now())
        if not again:
            await self._tools.save(file)
        while file.state in (FileState.CHECKING, FileState.INGESTING):
            if file.state is FileState.INGESTING:
                await self._begin_batch(file)
            file = await self._pass(file, turn, again=again)
            again = False

    async def _begin_batch(self, file: RequestFile) -> None:
        batch = Batch(id=BatchId(file.id), client_id=file.client_id, created_at=file.created_at)
        await self._batches.begin(batch)

    async def _pass(self, file: RequestFile, turn: Turn, *, again: bool) -> RequestFile:
        """Go through the file once; the file as it is then."""
        way = FilePass(file, self._tools, turn)
        try:
            await way.run(again=again)
        except FileUnreadable as error:
            now = self._tools.clock.now()
            after = failed(way.file, reason=error.reason, detail=error.detail, at=now)
        else:
            after = read_through(way.file, at=self._tools.clock.now())
        finally:
            self.rows += way.rows
        if after.state is FileState.DONE:
            # First, since nobody looks at a file again that is done.
            await self._finish_batch(after)
        await self._tools.save(after)
        return after

    async def _finish_batch(self, file: RequestFile) -> None:
        counts = file.checkpoint.counts
        await self._batches.finish(
            BatchId(file.id),
            accepted=counts.accepted,
            rejected=counts.rejected,
            results=counts.accepted,
        )
