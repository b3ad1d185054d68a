"""One way through the rows of a file: stretches are decided on side by side, and settled in order.

A stretch is decided on while the one before it is being stored, so that neither the database nor
this process waits for the other. A stretch is settled, with its rejects and the checkpoint behind
it, once all rows up to there are decided on. Who dies leaves `AHEAD` stretches half done behind the
checkpoint at most, and whoever goes on does them again (rule F4).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from cdp.domain.request_file import AHEAD, Checkpoint, FileState, RequestFile, advanced
from cdp.file_formats.faults import RowFault
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore
from cdp.ports.row_intake import FileRow, FileUnreadable, RowIntake, RowSource, Stretch, Taken
from cdp.services.file_turn import Turn
from cdp.services.reject_files import rejects_part
from cdp.storage.request_files import RequestFiles

RETRY_S: Final = 1.0
LEAVE_S: Final = 8.0
"""Longer than a write may take; who waits for room longer than that writes nothing."""
PART_BYTES_MAX: Final = 256 * 1024 * 1024

Faults = dict[int, RowFault]


class Overtaken(Exception):
    """Somebody else has changed the file: it is cancelled, or another works on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTools:
    """What files are worked on with."""

    files: RequestFiles
    source: RowSource
    intake: RowIntake
    store: ObjectStore
    clock: Clock
    worker: str
    """Who holds the files; names this process for ever."""
    ahead: int = AHEAD

    async def save(self, file: RequestFile) -> None:
        """Store a file that was changed.

        Raises:
            Overtaken: somebody else has changed it.
        """
        if not await self.files.replace(file, holder=self.worker):
            raise Overtaken


class FilePass:
    """Goes through a file that its worker holds, from its checkpoint on."""

    def __init__(self, file: RequestFile, tools: FileTools, turn: Turn) -> None:
        self.file = file
        """As it is stored now."""
        self.rows = 0
        """Those that were settled."""
        self._tools = tools
        self._turn = turn
        self._is_check = file.state is FileState.CHECKING
        self._begin = (file.checked or Checkpoint()) if self._is_check else file.checkpoint
        self._deciding: deque[tuple[Stretch, asyncio.Task[Faults]]] = deque()

    async def run(self, *, again: bool) -> None:
        """Decide on all rows behind the checkpoint.

        Args:
            again: somebody may have been there before.

        Raises:
            Overtaken: somebody else has changed the file.
            FileUnreadable: it can't be read on; what comes before that is settled.
            TurnOver: another file waits; what was begun is settled.
        """
        try:
            try:
                await self._read(repeated=self._tools.ahead if again else 0)
            except FileUnreadable:
                await self._settle_all()
                raise
            await self._settle_all()
        finally:
            await self._abandon()

    async def _read(self, *, repeated: int) -> None:
        stretches = self._tools.source.stretches(self.file, self._begin)
        async with contextlib.aclosing(stretches):
            async for stretch in stretches:
                # Here, and not behind the one before: that may have been the last.
                if self._turn.is_over:
                    await self._settle_all()
                    await self._turn.give_way()
                self._turn.arrived()
                deciding = asyncio.create_task(self._decided(stretch.rows, again=repeated > 0))
                self._deciding.append((stretch, deciding))
                repeated -= 1
                if len(self._deciding) >= self._tools.ahead:
                    await self._settle()

    async def _abandon(self) -> None:
        """Leave what is not settled, when something has gone wrong: it is done again.

        What is being written comes to its end first, or the rows of a file that was taken back
        could be counted while some are still on their way into the database.
        """
        tasks = [task for _, task in self._deciding]
        self._deciding.clear()
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _decided(self, rows: Sequence[FileRow], *, again: bool) -> Faults:
        """Decide on every row, however long the platform is full."""
        faults = {row.number: row.fault for row in rows if row.fault is not None}
        open_rows = [row for row in rows if row.fault is None]
        while open_rows:
            taken = await self._decide(open_rows, again=again)
            faults |= taken.faults
            open_rows = [row for row in open_rows if row.number in taken.later]
            if open_rows:
                again = True
                await self._wait(taken.retry_after_s)
                await self._turn.give_way(rest_s=taken.retry_after_s)
        return faults

    async def _decide(self, rows: Sequence[FileRow], *, again: bool) -> Taken:
        if self._is_check:
            return await self._tools.intake.check(self.file, rows)
        return await self._tools.intake.accept(self.file, rows, again=again)

    async def _wait(self, seconds: float) -> None:
        """Slow down instead of failing; a file that was cancelled meanwhile ends."""
        await asyncio.sleep(max(seconds, RETRY_S))
        stored = await self._tools.files.find(self.file.client_id, self.file.id)
        if stored is None or stored.version > self.file.version:
            raise Overtaken

    async def _settle_all(self) -> None:
        while self._deciding:
            await self._settle()

    async def _settle(self) -> None:
        """Store the rejects of the first stretch, then the checkpoint behind it."""
        stretch, deciding = self._deciding[0]
        faults = await deciding
        self._deciding.popleft()
        part = self._begin.parts
        if faults:
            key, store = self.file.rejects_key(part), self._tools.store
            content = rejects_part(
                (row, faults[row.number]) for row in stretch.rows if row.number in faults
            )
            await store.put(key, _one(content), size_max=PART_BYTES_MAX)
            part += 1
        accepted = len(stretch.rows) - len(faults)
        checkpoint = Checkpoint(
            counts=self._begin.counts.plus(accepted=accepted, rejected=len(faults)),
            position=stretch.position,
            parts=part,
        )
        after = advanced(self.file, checkpoint, at=self._tools.clock.now())
        await self._tools.save(after)
        self.file, self._begin = after, checkpoint
        self.rows += len(stretch.rows)


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content
