"""`inbox`: in-app messages, one document for each, by client and user."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from cdp.domain.ids import ClientId, ResultId
from cdp.errors import OutcomeUnknown
from cdp.ports.inbox import InboxEntry, InboxUnavailable
from cdp.storage.codec import present
from cdp.storage.database import Database, Document, insert_new, repository

UNREAD_COUNTED_MAX: Final = 1_000
"""Beyond that many nobody counts."""


@repository
class InboxEntries:
    """Entries of one user at a time. `Inbox` for the provider."""

    def __init__(self, database: Database) -> None:
        self._collection = database["inbox"]

    async def put(self, entries: Sequence[InboxEntry]) -> None:
        """See `Inbox.put`."""
        try:
            await insert_new(self._collection, [_document(entry) for entry in entries])
        except OutcomeUnknown:
            raise InboxUnavailable from None

    async def page(
        self,
        client_id: ClientId,
        user: str,
        *,
        unread: bool,
        archived: bool,
        before: bytes | None,
        limit: int,
        now: datetime,
    ) -> list[InboxEntry]:
        """The newest entries first: those that are not archived, or those that are."""
        query = _visible(client_id, user, now)
        query["archived_at"] = {"$exists": archived}
        if unread:
            query["read_at"] = {"$exists": False}
        if before is not None:
            query["_id"] = {"$lt": before}
        cursor = self._collection.find(query).sort("_id", -1).limit(limit)
        return [_entry(document) async for document in cursor]

    async def unread(self, client_id: ClientId, user: str, *, now: datetime) -> int:
        """How many entries are neither read nor archived, up to `UNREAD_COUNTED_MAX`."""
        query = _visible(client_id, user, now)
        query |= {"read_at": {"$exists": False}, "archived_at": {"$exists": False}}
        return await self._collection.count_documents(query, limit=UNREAD_COUNTED_MAX)

    async def mark(
        self, client_id: ClientId, user: str, ids: Sequence[ResultId], field: str, at: datetime
    ) -> list[ResultId]:
        """Set a time of these entries where it is not set; those that were there to be marked."""
        query = {"_id": {"$in": list(ids)}, "client_id": client_id, "user": user}
        found = [document["_id"] async for document in self._collection.find(query, {"_id": 1})]
        if found:
            await self._collection.update_many(
                {"_id": {"$in": found}, field: {"$exists": False}}, {"$set": {field: at}}
            )
        return found

    async def unarchive(
        self, client_id: ClientId, user: str, ids: Sequence[ResultId]
    ) -> list[ResultId]:
        """Bring archived entries back; those that there are."""
        query = {"_id": {"$in": list(ids)}, "client_id": client_id, "user": user}
        found = [document["_id"] async for document in self._collection.find(query, {"_id": 1})]
        await self._collection.update_many(query, {"$unset": {"archived_at": ""}})
        return found

    async def find(
        self, client_id: ClientId, user: str, ids: Sequence[ResultId]
    ) -> list[InboxEntry]:
        """These entries, the oldest first."""
        query = {"_id": {"$in": list(ids)}, "client_id": client_id, "user": user}
        return [_entry(d) async for d in self._collection.find(query).sort("_id", 1)]

    async def watch(self, tell: Callable[[ClientId, str, ResultId | None], None]) -> None:
        """Tell whose inbox changes, for as long as MongoDB is there: with the id of a new entry,
        or None for any other change.
        """
        pipeline: list[Document] = [
            {"$match": {"operationType": {"$in": ["insert", "update"]}}},
            {
                "$project": {
                    "operationType": 1,
                    "fullDocument._id": 1,
                    "fullDocument.client_id": 1,
                    "fullDocument.user": 1,
                }
            },
        ]
        async with await self._collection.watch(pipeline, full_document="updateLookup") as changes:
            async for change in changes:
                document = change.get("fullDocument")
                if document is not None:
                    new = document["_id"] if change["operationType"] == "insert" else None
                    tell(document["client_id"], document["user"], new)


def _visible(client_id: ClientId, user: str, now: datetime) -> dict[str, Any]:
    return {
        "client_id": client_id,
        "user": user,
        "$or": [{"expires_at": {"$exists": False}}, {"expires_at": {"$gt": now}}],
    }


def _document(entry: InboxEntry) -> Document:
    return present(
        _id=entry.result_id,
        client_id=entry.client_id,
        user=entry.user,
        title=entry.title,
        body=entry.body,
        action_url=entry.action_url,
        action_label=entry.action_label,
        data=entry.data,
        created_at=entry.created_at,
        expires_at=entry.expires_at,
    )


def _entry(document: Document) -> InboxEntry:
    return InboxEntry(
        result_id=document["_id"],
        client_id=document["client_id"],
        user=document["user"],
        title=document.get("title", ""),
        body=document.get("body", ""),
        action_url=document.get("action_url"),
        action_label=document.get("action_label"),
        data=document.get("data", {}),
        created_at=document["created_at"],
        expires_at=document.get("expires_at"),
        seen_at=document.get("seen_at"),
        read_at=document.get("read_at"),
        archived_at=document.get("archived_at"),
    )
