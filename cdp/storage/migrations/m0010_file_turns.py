"""Files have turns, and those that ended early have their batches closed."""

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """Find whose turn it is, and close the batches of files that ended before."""
    files = database["files"]
    await files.create_indexes(INDEXES["files"])
    ended = {"state": {"$in": ["failed", "cancelled"]}, "started_at": {"$exists": True}}
    await files.update_many(ended, {"$set": {"batch_open": True}})
