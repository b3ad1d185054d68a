"""The collections and their indexes."""

import contextlib

from pymongo.errors import CollectionInvalid

from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES


async def apply(database: Database) -> None:
    """Create what is missing."""
    with contextlib.suppress(CollectionInvalid):
        await database.raw.create_collection(
            "communication_logs", clusteredIndex={"key": {"_id": 1}, "unique": True}
        )
    for name, indexes in INDEXES.items():
        await database[name].create_indexes(indexes)
