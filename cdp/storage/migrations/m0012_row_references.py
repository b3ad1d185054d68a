"""References of a file's rows, by which doubles are found."""

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """Let them go, long after their file has ended."""
    await database["row_references"].create_indexes(INDEXES["row_references"])
