"""Files of requests: stored, listed, started, taken back."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from cdp.domain.ids import ClientId, fresh_id, text_of
from cdp.domain.request_file import (
    FILE_BYTES_MAX,
    NAME_MAX,
    FileSource,
    FileState,
    RequestFile,
    arrived,
    cancelled,
    started,
)
from cdp.errors import Conflict, Invalid, NotFound, PayloadTooLarge, StorageUnavailable
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore, ObjectTooLarge, StoreUnavailable
from cdp.services.same_file import same_as
from cdp.storage.request_files import RequestFiles

STORE_RETRY_S: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """What is said of a file that comes."""

    name: str
    source: FileSource
    options: Mapping[str, Any]
    is_strict: bool = False
    is_held: bool = False
    insist: bool = False
    """Whether it is meant, if the same bytes have come lately."""


class FileService:
    """Keeps files; `FileIngestionService` works on them."""

    def __init__(
        self,
        *,
        files: RequestFiles,
        store: ObjectStore,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        bytes_max: int = FILE_BYTES_MAX,
    ) -> None:
        self._files = files
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._bytes_max = bytes_max

    async def take(
        self, client_id: ClientId, new: NewFile, chunks: AsyncIterator[bytes]
    ) -> RequestFile:
        """Store a file as it comes; when this returns it is durable, and its turn comes.

        Raises:
            Invalid: it is empty.
            PayloadTooLarge: it is too large.
            Conflict: the same bytes have come within a day.
            StorageUnavailable: object storage can't be reached or has no room.
            OutcomeUnknown: MongoDB could not be asked.
        """
        now = self._clock.now()
        digest = hashlib.sha256()
        file = RequestFile(
            id=fresh_id(now, self._random_bytes),
            client_id=client_id,
            name=shown_name(new.name),
            source=new.source,
            size=0,
            digest=b"",
            options=new.options,
            is_strict=new.is_strict,
            state=FileState.HELD if new.is_held else FileState.WAITING,
            created_at=now,
            updated_at=now,
        )
        size = await self._stored(file, hashed(chunks, digest.update))
        file = replace(file, size=size, digest=digest.digest())
        try:
            if not size:
                raise Invalid.at("", "empty", "The file is empty.")
            same_id = await same_as(self._files, file, at=now, insist=new.insist)
            if same_id is not None:
                raise Conflict(
                    f"The same bytes have come within a day, as the file {text_of(same_id)}. "
                    "If they are meant, say force=true."
                )
            await self._files.insert(file)
        except (Invalid, Conflict):
            await self._store.delete(file.key)
            raise
        return file

    async def _stored(self, file: RequestFile, chunks: AsyncIterator[bytes]) -> int:
        try:
            return (await self._store.put(file.key, chunks, size_max=self._bytes_max)).size
        except ObjectTooLarge:
            detail = f"The file is larger than {self._bytes_max:,} bytes."
            raise PayloadTooLarge(detail) from None
        except StoreUnavailable:
            raise StorageUnavailable(retry_after_s=STORE_RETRY_S) from None

    async def get(self, client_id: ClientId, file_id: bytes) -> RequestFile:
        """One file.

        Raises:
            NotFound: there is none.
        """
        file = await self._files.find(client_id, file_id)
        if file is None:
            raise NotFound
        return file

    async def page(
        self,
        client_id: ClientId,
        *,
        state: FileState | None = None,
        source: FileSource | None = None,
        before: bytes | None,
        limit: int,
    ) -> list[RequestFile]:
        """The newest first, of those in a state and from a source where one is named."""
        return await self._files.page(
            client_id, state=state, source=source, before=before, limit=limit
        )

    async def start(self, client_id: ClientId, file_id: bytes) -> RequestFile:
        """Let a file go that was held, or take in at once what an awaited one's sender has put.

        Raises:
            NotFound: there is none.
            Conflict: it has ended, or is awaited and has not come.
            StorageUnavailable: object storage can't be asked whether it has come.
        """
        file = await self.get(client_id, file_id)
        if file.state is FileState.AWAITED:
            await self._require_come(file)
            # It may be noticed and taken in meanwhile; to say that it has come starts nothing else.
            return await self._change(
                client_id, file_id, lambda f: arrived(f, at=self._clock.now())
            )
        return await self._change(client_id, file_id, lambda f: started(f, at=self._clock.now()))

    async def _require_come(self, file: RequestFile) -> None:
        assert file.incoming is not None
        try:
            come = await self._store.look(file.incoming.key)
        except StoreUnavailable:
            raise StorageUnavailable(
                "Files can't be asked for now.", retry_after_s=STORE_RETRY_S
            ) from None
        if come is None:
            raise Conflict("The file has not come: nothing was put to its URL, or not all of it.")

    async def cancel(self, client_id: ClientId, file_id: bytes) -> RequestFile:
        """Take a file back: no more of its rows are accepted.

        Raises:
            NotFound: there is none.
            Conflict: it has ended.
        """
        file = await self._change(client_id, file_id, lambda f: cancelled(f, at=self._clock.now()))
        if not file.checkpoint.counts.rows:
            await self._files.forget_digest(file)
        return file

    async def _change(
        self,
        client_id: ClientId,
        file_id: bytes,
        change: Callable[[RequestFile], RequestFile],
    ) -> RequestFile:
        while True:
            file = await self.get(client_id, file_id)
            changed = change(file)
            if changed is file or await self._files.replace(changed):
                return changed


def shown_name(name: str) -> str:
    """A file's name for people: no path, no control characters, not too long."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable())[:NAME_MAX] or "file"


async def hashed(
    chunks: AsyncIterator[bytes], update: Callable[[bytes], None]
) -> AsyncIterator[bytes]:
    """The chunks, each told to `update` as it goes by."""
    async for chunk in chunks:
        update(chunk)
        yield chunk
