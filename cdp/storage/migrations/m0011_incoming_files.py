"""Files that are put into object storage past the platform."""

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """Find those that have come and those that never did; an object is one file."""
    await database["files"].create_indexes(INDEXES["files"])
