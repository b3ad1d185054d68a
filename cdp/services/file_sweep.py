"""What is stored of files that never came to be: it is found, and taken away.

A file's bytes are stored before the file is. Who dies in between, or can't reach MongoDB then,
leaves an object that no file names; nobody would ever look at it again.
"""

import logging
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from cdp.domain.ids import unix_ms_of
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore, StoredObject
from cdp.storage.request_files import RequestFiles
from cdp.telemetry import Telemetry

PREFIX: Final = "files/"
ORPHAN_AGE: Final = timedelta(days=1)
"""No upload takes so long from its first byte to its file."""
PAGE: Final = 500
PAGES_MAX: Final = 200
"""In one run; the next one goes on from there."""

_SOURCE: Final = re.compile(r"files/[0-9a-f]{32}/([0-9a-f]{32})/source")

log = logging.getLogger(__name__)


class FileSweep:
    """Looks through object storage, some of it in each run."""

    def __init__(
        self,
        *,
        files: RequestFiles,
        store: ObjectStore,
        clock: Clock,
        telemetry: Telemetry,
        page: int = PAGE,
        pages_max: int = PAGES_MAX,
    ) -> None:
        """Of `pages_max` pages, each of `page` objects, is a run."""
        self._page = page
        self._pages_max = pages_max
        self._files = files
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._after: str | None = None

    async def run(self) -> int:
        """Go on where the last run has ended; how many objects were deleted.

        Raises:
            StoreUnavailable: object storage can't be reached now.
            OutcomeUnknown: MongoDB could not be asked.
        """
        deleted = 0
        for _ in range(self._pages_max):
            page = await self._store.page(PREFIX, after=self._after, limit=self._page)
            deleted += await self._clear(page)
            self._after = page[-1].key if len(page) == self._page else None
            if self._after is None:
                break
        return deleted

    async def _clear(self, page: Sequence[StoredObject]) -> int:
        old = {}
        for each in page:
            found = _SOURCE.fullmatch(each.key)
            if found is not None and self._is_old(each, file_id := bytes.fromhex(found[1])):
                old[file_id] = each.key
        if not old:
            return 0
        there = await self._files.existing_across_clients(list(old))
        orphans = {file_id: key for file_id, key in old.items() if file_id not in there}
        for file_id, key in orphans.items():
            await self._store.delete(key)
            log.info("an object without a file was deleted", extra={"file": file_id.hex()})
            self._telemetry.count("cdp_files_swept")
        return len(orphans)

    def _is_old(self, stored: StoredObject, file_id: bytes) -> bool:
        # By both clocks, since one of them may be wrong.
        before = self._clock.now() - ORPHAN_AGE
        return stored.stored_at < before and unix_ms_of(file_id) < before.timestamp() * 1_000
