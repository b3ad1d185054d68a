"""`suppressions`: who must not be written to."""

from collections.abc import Sequence

from pymongo.errors import BulkWriteError

from cdp.domain.ids import ClientId
from cdp.domain.suppression import Suppression, SuppressionReason
from cdp.storage.codec import present
from cdp.storage.database import DUPLICATE_KEY, Database, Document, repository


@repository
class Suppressions:
    """Entries, each under the hash of what it is for."""

    def __init__(self, database: Database) -> None:
        self._collection = database["suppressions"]

    async def insert(self, entries: Sequence[Suppression]) -> None:
        """Keep entries; one that is there already stays as it is, with its first reason.

        Nothing is read back, for the tracking's user may not (rule A12): who is told that the
        outcome is unknown repeats it.
        """
        distinct = {entry.id: _document(entry) for entry in entries}
        if not distinct:
            return
        try:
            await self._collection.insert_many(list(distinct.values()), ordered=False)
        except BulkWriteError as error:
            refused = error.details.get("writeErrors", [])
            is_unsure = error.details.get("writeConcernErrors")
            if is_unsure or any(entry["code"] != DUPLICATE_KEY for entry in refused):
                raise

    async def across_clients(self, ids: Sequence[bytes]) -> dict[bytes, Suppression]:
        """Those of these ids that there are."""
        cursor = self._collection.find({"_id": {"$in": list(ids)}})
        return {document["_id"]: _suppression(document) async for document in cursor}

    async def of_client(self, client_id: ClientId, entry_id: bytes) -> Suppression | None:
        """One entry."""
        document = await self._collection.find_one({"_id": entry_id, "client_id": client_id})
        return None if document is None else _suppression(document)

    async def page(
        self,
        client_id: ClientId,
        *,
        named: Document,
        after: bytes | None,
        limit: int,
    ) -> list[Suppression]:
        """Entries in the order of their ids; only those that have these fields."""
        query: Document = {"client_id": client_id, **named}
        if after is not None:
            query["_id"] = {"$gt": after}
        cursor = self._collection.find(query).sort("_id", 1).limit(limit)
        return [_suppression(document) async for document in cursor]

    async def delete(self, client_id: ClientId, entry_id: bytes) -> bool:
        """Take an entry away; whether there was one."""
        query = {"_id": entry_id, "client_id": client_id}
        return (await self._collection.delete_one(query)).deleted_count == 1


def _document(entry: Suppression) -> Document:
    return present(
        _id=entry.id,
        client_id=entry.client_id,
        channel=entry.channel,
        recipient=entry.recipient,
        topic=entry.topic,
        reason=entry.reason.value,
        source=entry.source,
        note=entry.note or None,
        created_at=entry.created_at,
    )


def _suppression(document: Document) -> Suppression:
    return Suppression(
        client_id=document["client_id"],
        channel=document["channel"],
        recipient=document["recipient"],
        topic=document.get("topic"),
        reason=SuppressionReason(document["reason"]),
        source=document.get("source", ""),
        note=document.get("note", ""),
        created_at=document["created_at"],
    )
