"""Large files: a signed URL to put one to, and the file's own bytes to be fetched."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cdp.domain.file_arrival import UploadPlace
from cdp.domain.ids import ClientId, fresh_id
from cdp.domain.request_file import FileState, Incoming, RequestFile
from cdp.errors import BacklogFull, Conflict, NotFound, StorageUnavailable
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore, SignedUrl, StoreUnavailable
from cdp.services.file_service import STORE_RETRY_S, NewFile, shown_name
from cdp.storage.request_files import RequestFiles

UPLOAD_VALID: Final = timedelta(hours=1)
"""So long an upload may begin; what has begun by then may take longer."""
AWAITED: Final = timedelta(hours=24)
"""So long a file is waited for."""
AWAITED_MAX: Final = 100
"""Files that a client may have announced and not put."""
DOWNLOAD_VALID: Final = timedelta(minutes=5)
FULL_RETRY_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedUpload:
    """A file that may be put, and where to."""

    file: RequestFile
    url: SignedUrl


class FileUploadService:
    """Makes places for files in object storage. `FileArrivalsService` sees what comes there."""

    def __init__(
        self,
        *,
        files: RequestFiles,
        store: ObjectStore,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        awaited_max: int = AWAITED_MAX,
    ) -> None:
        self._files = files
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._awaited_max = awaited_max

    async def begin(self, client_id: ClientId, new: NewFile) -> AwaitedUpload:
        """A file that is awaited from now on.

        Raises:
            Conflict: the store takes nothing by HTTP.
            BacklogFull: as many are awaited as a client may have; about, when it asks at once.
            StorageUnavailable: object storage can't be asked.
        """
        if await self._files.awaited(client_id, limit=self._awaited_max) >= self._awaited_max:
            raise BacklogFull(
                f"{self._awaited_max} files are awaited. Put those, or cancel them.",
                retry_after_s=FULL_RETRY_S,
            )
        now = self._clock.now()
        place = UploadPlace(client_id, fresh_id(now, self._random_bytes))
        try:
            url = await self._store.upload_url(place.key, valid_for=UPLOAD_VALID)
        except StoreUnavailable:
            raise StorageUnavailable(
                "No URL can be signed now.", retry_after_s=STORE_RETRY_S
            ) from None
        if url is None:
            raise Conflict(
                "Files are kept in a folder here, which has no URLs. Send the file by POST /files."
            )
        incoming = Incoming(
            key=place.key, until=now + AWAITED, is_held=new.is_held, insist=new.insist
        )
        file = RequestFile(
            id=place.file_id,
            client_id=client_id,
            name=shown_name(new.name),
            source=new.source,
            size=0,
            digest=b"",
            options=new.options,
            is_strict=new.is_strict,
            incoming=incoming,
            state=FileState.AWAITED,
            created_at=now,
            updated_at=now,
        )
        await self._files.insert(file)
        return AwaitedUpload(file=file, url=url)

    async def source(self, file: RequestFile) -> SignedUrl | AsyncGenerator[bytes, None]:
        """A file as it was sent: where to fetch it, or its bytes where the store signs no URLs.

        Raises:
            NotFound: it has not been taken in, or is not kept any more.
            StorageUnavailable: object storage can't be asked.
        """
        try:
            if await self._store.look(file.key) is None:
                raise NotFound("There is no source of this file.")
            url = await self._store.download_url(file.key, valid_for=DOWNLOAD_VALID)
        except StoreUnavailable:
            raise StorageUnavailable(
                "Files can't be fetched now.", retry_after_s=STORE_RETRY_S
            ) from None
        return self._store.read(file.key) if url is None else url
