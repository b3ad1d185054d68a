"""Delivery configurations get levels below the client; segments get their indexes."""

import os
from datetime import UTC, datetime

from pymongo.errors import OperationFailure

from cdp.domain.ids import fresh_id
from cdp.storage.database import Collection, Database, Document
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
    async for old in collection.find({"version": {"$exists": False}}):
        # First the successor: who dies in between leaves both, and the next run finds both.
        await _succeed(collection, old)
        await collection.delete_one({"_id": old["_id"]})
    # Last, since an old document and its successor are of one scope.
    for name in ("delivery_configs", "segments", "segment_assignments"):
        await database[name].create_indexes(INDEXES[name])


async def _succeed(collection: Collection, old: Document) -> None:
    owner = {"client_id": old["client_id"]}
    if await collection.find_one({**owner, "version": {"$exists": True}}) is None:
        now = datetime.now(UTC)
        fields = dict(old["fields"])
        if "backoff_base_s" in fields:
            fields["backoff_initial_s"] = fields.pop("backoff_base_s")
        new = {
            "_id": fresh_id(now, os.urandom),
            **owner,
            **dict.fromkeys(("channel", "campaign", "segment")),
            "fields": fields,
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
        await collection.insert_one(new)
