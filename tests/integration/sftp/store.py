"""Object storage in memory, for files that come by SFTP."""

from collections.abc import AsyncGenerator, AsyncIterable
from datetime import timedelta

from cdp.ports.clock import SystemClock
from cdp.ports.object_store import (
    CHUNK_BYTES,
    LEFTOVER_AGE,
    ObjectMissing,
    ObjectTooLarge,
    SignedUrl,
    StoredObject,
    StoreUnavailable,
    checked_key,
)


class MemoryObjects:
    """See `cdp.ports.object_store.ObjectStore`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.is_away = False

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, size_max: int) -> StoredObject:
        content = b"".join([chunk async for chunk in chunks])
        if self.is_away:
            raise StoreUnavailable
        if len(content) > size_max:
            raise ObjectTooLarge
        self.objects[checked_key(key)] = content
        return self._stored(key)

    async def read(self, key: str, *, offset: int = 0) -> AsyncGenerator[bytes, None]:
        if key not in self.objects:
            raise ObjectMissing
        for start in range(offset, len(self.objects[key]), CHUNK_BYTES):
            yield self.objects[key][start : start + CHUNK_BYTES]

    async def look(self, key: str) -> StoredObject | None:
        return self._stored(key) if key in self.objects else None

    async def page(self, prefix: str, *, after: str | None, limit: int) -> list[StoredObject]:
        keys = sorted(k for k in self.objects if k.startswith(prefix) and k > (after or ""))
        return [self._stored(key) for key in keys[:limit]]

    async def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    async def upload_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        return None

    async def download_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        return None

    async def remove_leftovers(self, *, older_than: timedelta = LEFTOVER_AGE) -> int:
        return 0

    async def close(self) -> None:
        """Nothing is open."""

    def _stored(self, key: str) -> StoredObject:
        return StoredObject(key=key, size=len(self.objects[key]), stored_at=SystemClock().now())
