"""Senders have names, and there may be several on a channel."""

import os
from datetime import UTC, datetime

from pymongo.errors import OperationFailure

from cdp.domain.ids import fresh_id
from cdp.domain.sender import DEFAULT_NAME
from cdp.storage.codec import present
from cdp.storage.database import Collection, Database, Document
from cdp.storage.indexes import INDEXES

_INDEX_NOT_FOUND = 27


async def apply(database: Database) -> None:
    """Give each old sender, the only one of its channel, its successor: the channel's default."""
    collection = database["senders"]
    try:
        await collection.drop_index("client")
    except OperationFailure as error:
        if error.code != _INDEX_NOT_FOUND:
            raise
    async for old in collection.find({"version": {"$exists": False}}):
        # First the successor: who dies in between leaves both, and the next run finds both.
        await _succeed(collection, old)
        await collection.delete_one({"_id": old["_id"]})
    await collection.create_indexes(INDEXES["senders"])


async def _succeed(collection: Collection, old: Document) -> None:
    owner = {"client_id": old["client_id"], "channel": old["channel"]}
    if await collection.find_one({**owner, "version": {"$exists": True}}) is not None:
        return
    now = datetime.now(UTC)
    new = {
        "_id": fresh_id(now, os.urandom),
        **owner,
        # There were senders of email alone.
        "name": DEFAULT_NAME,
        "is_default": True,
        "version": 1,
        "created_at": now,
        "updated_at": now,
        **present(address=old["email"], display_name=old.get("name") or None),
    }
    await collection.insert_one(new)
