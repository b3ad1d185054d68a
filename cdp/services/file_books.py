"""The books of files that ended early: their batches get the counts that they really have.

A file that is done closes its own batch. One that has failed or was taken back may have left a
stretch that was taken in by half, so what is there is counted, once nobody works on it any more.
"""

from typing import Final

from cdp.domain.ids import BatchId
from cdp.storage.batches import Batches
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.file_turns import FileTurns, WaitingFile
from cdp.storage.request_files import RequestFiles

AT_ONCE: Final = 20
LEASE_S: Final = 60.0
"""To count five million rows takes a few seconds."""


class FileBooks:
    """Closes batches. Killed at any line it has closed one or not, and comes again."""

    def __init__(
        self,
        *,
        files: RequestFiles,
        turns: FileTurns,
        batches: Batches,
        results: DeliveryResults,
        worker: str,
    ) -> None:
        """`worker` names this process for ever."""
        self._files = files
        self._turns = turns
        self._batches = batches
        self._results = results
        # Not the name that the same process ingests by: what that one holds is not free to this.
        self._holder = f"{worker}/books"

    async def step(self) -> None:
        """Close the batches of files that have ended, and that nobody holds."""
        for file in await self._turns.open_batches_across_clients(limit=AT_ONCE):
            if await self._turns.claim(file, holder=self._holder, ttl_s=LEASE_S):
                try:
                    await self._close(file)
                finally:
                    await self._turns.let_go(file, holder=self._holder)

    async def _close(self, waiting: WaitingFile) -> None:
        batch_id = BatchId(waiting.id)
        file = await self._files.find(waiting.client_id, waiting.id)
        if file is not None and file.ended_early:
            counts = await self._results.counts_of_batch(waiting.client_id, batch_id)
            # A row is for one recipient: it has one result.
            accepted = sum(count for *_, count in counts)
            await self._batches.finish(
                batch_id,
                accepted=accepted,
                rejected=file.checkpoint.counts.rejected,
                results=accepted,
            )
        await self._turns.note_batch_closed(waiting, holder=self._holder)
