"""Takes files in that have come by way of object storage.

Others may write where a file came, also while it is read. So it is copied to where nobody else
writes, and what counts from then on is the copy. A file is taken in by one process at a time, by a
lease; one that is late can't say that its copy is the file, since its lease is another's.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from cdp.domain.file_arrival import ARRIVAL_FAULTS, version_of
from cdp.domain.ids import text_of
from cdp.domain.request_file import (
    FILE_BYTES_MAX,
    FileState,
    Incoming,
    RequestFile,
    failed,
    taken_in,
)
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.ports.object_store import (
    ObjectMissing,
    ObjectStore,
    ObjectTooLarge,
    StoredObject,
    StoreUnavailable,
)
from cdp.services.file_service import hashed
from cdp.services.same_file import same_as
from cdp.storage.file_turns import FileTurns
from cdp.storage.request_files import RequestFiles

LEASE_S: Final = 10.0
CANDIDATES: Final = 20
RETRY_S: Final = 1.0
COPY_NAME_BYTES: Final = 8
COPIES_MAX: Final = 1_000
"""Copies that were left which one try clears away."""

log = logging.getLogger(__name__)


class NotTaken(Exception):
    """The file will never be taken in: the reason is one of `ARRIVAL_FAULTS`."""

    def __init__(self, reason: str, detail: str) -> None:
        assert reason in ARRIVAL_FAULTS
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class FileReceivingService:
    """Takes in one file after the other."""

    def __init__(
        self,
        *,
        files: RequestFiles,
        turns: FileTurns,
        store: ObjectStore,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        worker: str,
        bytes_max: int = FILE_BYTES_MAX,
        lease_s: float = LEASE_S,
    ) -> None:
        """`worker` names this one for ever, and nobody else in its process."""
        self._files = files
        self._turns = turns
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._worker = worker
        self._bytes_max = bytes_max
        self._lease_s = lease_s
        self.is_busy = False
        """Whether a file is being taken in."""

    async def step(self) -> bool:
        """Take in a file that has come; whether there was one."""
        for file in await self._files.receiving_across_clients(limit=CANDIDATES):
            if await self._turns.claim(file, holder=self._worker, ttl_s=self._lease_s):
                await self._work(file)
                return True
        return False

    async def _work(self, file: RequestFile) -> None:
        self.is_busy = True
        try:
            async with self._held(file):
                # As it is now: it may have been changed between the look and the claim.
                now = await self._files.find(file.client_id, file.id)
                if now is not None and now.state is FileState.RECEIVING:
                    await self._receive(now)
        except (OutcomeUnknown, StoreUnavailable) as error:
            facts = {"file": file.id.hex(), "error": type(error).__name__}
            log.warning("a file that has come waits", extra=facts)
            await asyncio.sleep(RETRY_S)
        finally:
            self.is_busy = False

    @contextlib.asynccontextmanager
    async def _held(self, file: RequestFile) -> AsyncIterator[None]:
        """The lease that was taken is renewed meanwhile, and given back."""
        renewing = asyncio.create_task(self._renew(file))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            with contextlib.suppress(OutcomeUnknown):
                await self._turns.let_go(file, holder=self._worker)

    async def _renew(self, file: RequestFile) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._turns.renew(file, holder=self._worker, ttl_s=self._lease_s)
            except OutcomeUnknown as error:
                log.warning("a lease waits for MongoDB", extra={"error": type(error).__name__})

    async def _receive(self, file: RequestFile) -> None:
        incoming = file.incoming
        assert incoming is not None
        # None of them is the file, and none can become it: who made it has lost the lease.
        for left in await self._store.page(file.copies, after=None, limit=COPIES_MAX):
            await self._store.delete(left.key)
        copy = self._random_bytes(COPY_NAME_BYTES).hex()
        try:
            taken = await self._taken(file, incoming, copy)
        except NotTaken as fault:
            now = self._clock.now()
            taken = failed(file, reason=fault.reason, detail=fault.detail, at=now)
        if await self._files.replace(taken, holder=self._worker):
            await self._clear(incoming)
        else:
            await self._overtaken(taken, incoming)

    async def _taken(self, file: RequestFile, incoming: Incoming, copy: str) -> RequestFile:
        """The file, of whose bytes there is a copy under this name.

        Raises:
            NotTaken: it is none that may be.
        """
        stored = await self._looked_at(incoming)
        if stored is None:
            raise NotTaken("gone", "What had come was taken away, or replaced.")
        if stored.size > self._bytes_max:
            raise self._too_large()
        copied, digest = replace(file, copy=copy), hashlib.sha256()
        size = await self._copied(copied, incoming, digest.update)
        try:
            if not size:
                raise NotTaken("empty", "The file is empty.")
            if incoming.version is not None and await self._looked_at(incoming) is None:
                # What was read may have been the one that came instead, which is another file.
                raise NotTaken("gone", "It was replaced while it was taken in.")
            whole = replace(copied, size=size, digest=digest.digest())
            now = self._clock.now()
            same_id = await same_as(self._files, whole, at=now, insist=incoming.insist)
            if same_id is not None:
                same = f"The same bytes have come within a day, as the file {text_of(same_id)}."
                raise NotTaken("same_bytes", same)
        except NotTaken:
            await self._store.delete(copied.key)
            raise
        return taken_in(file, copy=copy, size=size, digest=whole.digest, at=now)

    async def _looked_at(self, incoming: Incoming) -> StoredObject | None:
        """The object that is to be taken in, if it is there still."""
        stored = await self._store.look(incoming.key)
        if stored is None or incoming.version is None:
            return stored
        version = version_of(size=stored.size, stored_at=stored.stored_at)
        return stored if version == incoming.version else None

    async def _copied(
        self, file: RequestFile, incoming: Incoming, update: Callable[[bytes], None]
    ) -> int:
        try:
            async with contextlib.aclosing(self._store.read(incoming.key)) as chunks:
                put = self._store.put(file.key, hashed(chunks, update), size_max=self._bytes_max)
                return (await put).size
        except ObjectTooLarge:
            raise self._too_large() from None
        except ObjectMissing:
            raise NotTaken("gone", "It was taken away while it was taken in.") from None

    def _too_large(self) -> NotTaken:
        return NotTaken("too_large", f"The file is larger than {self._bytes_max:,} bytes.")

    async def _clear(self, incoming: Incoming) -> None:
        """Take away what came, now that the file is elsewhere, or has failed.

        Who dies before that leaves it to the sweep of `FileArrivalsService`.
        """
        if await self._looked_at(incoming) is not None:
            await self._store.delete(incoming.key)

    async def _overtaken(self, taken: RequestFile, incoming: Incoming) -> None:
        """It was cancelled meanwhile, or another has it: our copy is nobody's."""
        log.info("a file was changed while it was taken in", extra={"file": taken.id.hex()})
        stored = await self._files.find(taken.client_id, taken.id)
        if taken.copy is None or (stored is not None and stored.copy == taken.copy):
            return
        await self._store.delete(taken.key)
        if stored is not None and stored.state is FileState.CANCELLED:
            # The same bytes may come again.
            await self._files.forget_digest(taken)
            await self._clear(incoming)
