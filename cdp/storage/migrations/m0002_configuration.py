"""Delivery configurations get levels below the client; segments get their indexes."""

import os
from datetime import UTC, datetime

from pymongo.errors import OperationFailure

from cdp.domain.ids import RANDOM_BYTES, uuid7
from cdp.storage.database import Database
from cdp.storage.indexes import INDEXES

_INDEX_NOT_FOUND = 27


async def apply(database: Database) -> None:
    """Give each old delivery configuration its successor, and create what is missing."""
    collection = database["delivery_configs"]
    try:
        await collection.drop_index("scope")
    except OperationFailure as error:
        if error.code != _INDEX_NOT_FOUND:
            raise
    for name in ("delivery_configs", "segments", "segment_assignments"):
        await database[name].create_indexes(INDEXES[name])
    async for old in collection.find({"version": {"$exists": False}}):
        now = datetime.now(UTC)
        fields = dict(old["fields"])
        if "backoff_base_s" in fields:
            fields["backoff_initial_s"] = fields.pop("backoff_base_s")
        new = {
            "_id": uuid7(
                unix_ms=int(now.timestamp() * 1000), random_bytes=os.urandom(RANDOM_BYTES)
            ),
            "client_id": old["client_id"],
            **dict.fromkeys(("channel", "campaign", "segment")),
            "fields": fields,
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
        # First away with the old: both are of one scope.
        await collection.delete_one({"_id": old["_id"]})
        await collection.insert_one(new)
