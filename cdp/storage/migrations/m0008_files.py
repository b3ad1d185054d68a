"""Files of requests."""

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """Find the files that wait, and those of a client; forget what came a day ago."""
    for name in ("files", "file_digests"):
        await database[name].create_indexes(INDEXES[name])
