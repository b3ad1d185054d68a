"""Campaigns are things of their own, and results are found by theirs."""

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """Create the indexes that are missing."""
    for name in ("campaigns", "segment_assignments", "delivery_results"):
        await database[name].create_indexes(INDEXES[name])
