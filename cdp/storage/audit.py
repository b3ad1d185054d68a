"""What the audit reads: whole collections in the order of their ids, a page at a time.

Each page is a query of its own that begins after the last id. So there is no cursor that a
restart of MongoDB could end, and a page is as new as the moment at which it is read.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pymongo.read_concern import ReadConcern

from cdp.domain.ids import EVENT_ID_BYTES, ID_BYTES
from cdp.storage.database import Collection, Database, Document, repository


def _fields(*names: str) -> dict[str, int]:
    return dict.fromkeys(names, 1)


EVENT_FIELDS: Final = _fields(
    "event",
    "created_at",
    "client_id",
    *(
        f"metadata.{name}"
        for name in (
            *("due_at", "priority", "send_at", "expires_at"),
            *("attempt", "epoch", "outcome", "code", "reason", "provider"),
        )
    ),
)
FIELDS: Final = {
    "communication_logs": EVENT_FIELDS,
    "delivery_results": _fields(
        *("client_id", "request_id", "channel", "recipient", "campaign", "batch_id"),
        *("status", "seq", "attempt", "lost", "has_content", "partition", "lane", "priority"),
        *("due_at", "send_at", "expires_at", "failure", "replayed_after"),
    ),
    "communication_requests": _fields("client_id", "campaign", "batch_id", "recipients"),
    "recipients": _fields("client_id", "request_id", "identifier"),
    "communications": _fields("client_id", "request_id", "to"),
    "batches": _fields("client_id", "accepted", "results"),
}
"""What the audit needs of each collection."""

_KEYED: Final = ("communication_requests", "batches")
_KEY: Final = [("client_id", 1), ("idempotency_key", 1)]
_RANGES_AT_ONCE: Final = 50


@repository
class AuditReads:
    """Reads for the audit, across all clients, and as a majority of the servers has it."""

    def __init__(self, database: Database) -> None:
        settled = ReadConcern("majority")
        self._collections: dict[str, Collection] = {
            name: database[name].with_options(read_concern=settled)
            for name in (*FIELDS, "partition_leases", "clients")
        }

    async def page(
        self, name: str, *, after: bytes, before: bytes | None, limit: int
    ) -> list[Document]:
        """The next documents of a collection after an id; none at its end.

        Args:
            name: one of `FIELDS`.
            after: the id of the last one; empty at the beginning.
            before: the result's id to end before; None reads to the end.
            limit: how many at most.
        """
        # MongoDB compares Binary by length before it looks at a byte.
        length = EVENT_ID_BYTES if name == "communication_logs" else ID_BYTES
        bounds: Document = {"$gt": after} if after else {"$gte": bytes(length)}
        if before is not None:
            bounds["$lt"] = before.ljust(length, b"\0")
        query = {"_id": bounds}
        cursor = self._collections[name].find(query, FIELDS[name]).sort("_id", 1).limit(limit)
        return await cursor.batch_size(limit).to_list()

    async def by_id(self, name: str, ids: Iterable[bytes]) -> dict[bytes, Document]:
        """These documents of a collection, by id."""
        query = {"_id": {"$in": list(ids)}}
        found = await self._collections[name].find(query, FIELDS[name]).to_list()
        return {document["_id"]: document for document in found}

    async def events_of(self, result_ids: Sequence[bytes]) -> dict[bytes, list[Document]]:
        """All events of each of these results, in the order of their ids."""
        # One range each: MongoDB would answer an `$or` of ranges by reading the whole log.
        found: dict[bytes, list[Document]] = {}
        for start in range(0, len(result_ids), _RANGES_AT_ONCE):
            some = result_ids[start : start + _RANGES_AT_ONCE]
            logs = await asyncio.gather(*(self._events(result_id) for result_id in some))
            found |= dict(zip(some, logs, strict=True))
        return found

    async def _events(self, result_id: bytes) -> list[Document]:
        bounds = {"$gte": result_id + bytes(12), "$lte": result_id + b"\xff" * 12}
        collection = self._collections["communication_logs"]
        return await collection.find({"_id": bounds}, EVENT_FIELDS).sort("_id", 1).to_list()

    async def results_of_requests(self, request_ids: Sequence[bytes]) -> dict[bytes, int]:
        """How many results each of these requests has."""
        found: dict[bytes, int] = {}
        for start in range(0, len(request_ids), _RANGES_AT_ONCE):
            some = request_ids[start : start + _RANGES_AT_ONCE]
            counts = await asyncio.gather(*(self._results(request_id) for request_id in some))
            found |= dict(zip(some, counts, strict=True))
        return found

    async def _results(self, request_id: bytes) -> int:
        # They bear the time of their request, so few are walked over.
        bounds = {"$gte": request_id[:6] + bytes(10), "$lte": request_id[:6] + b"\xff" * 10}
        query = {"_id": bounds, "request_id": request_id}
        return await self._collections["delivery_results"].count_documents(query)

    async def results_of_batches(self, batches: Sequence[Document]) -> dict[bytes, tuple[int, int]]:
        """How many results and how many requests each batch has brought."""
        stages: list[Document] = [
            {
                "$match": {
                    "client_id": {"$in": list({batch["client_id"] for batch in batches})},
                    "batch_id": {"$in": [batch["_id"] for batch in batches]},
                }
            },
            {"$group": {"_id": {"b": "$batch_id", "r": "$request_id"}, "n": {"$sum": 1}}},
            {"$group": {"_id": "$_id.b", "results": {"$sum": "$n"}, "requests": {"$sum": 1}}},
        ]
        cursor = await self._collections["delivery_results"].aggregate(stages, allowDiskUse=True)
        return {d["_id"]: (d["results"], d["requests"]) async for d in cursor}

    async def epochs(self) -> dict[int, int]:
        """The epoch of every partition."""
        found = await self._collections["partition_leases"].find({}, {"epoch": 1}).to_list()
        return {document["_id"]: document["epoch"] for document in found}

    async def names(self) -> dict[bytes, str]:
        """The name of every client."""
        found = await self._collections["clients"].find({}, {"name": 1}).to_list()
        return {document["_id"]: document["name"] for document in found}

    async def unguarded_keys(self) -> list[str]:
        """The collections in which no unique index keeps idempotency keys apart."""
        unguarded = []
        for name in _KEYED:
            indexes = await self._collections[name].index_information()
            if not any(_guards(index) for index in indexes.values()):
                unguarded.append(name)
        return unguarded

    async def doubled_keys(self, name: str, limit: int) -> list[tuple[bytes, bytes]]:
        """Idempotency keys that stand more than once: the client, and one document's id."""
        stages: list[Document] = [
            {"$match": {"idempotency_key": {"$exists": True}}},
            {
                "$group": {
                    "_id": {"client_id": "$client_id", "key": "$idempotency_key"},
                    "n": {"$sum": 1},
                    "last": {"$max": "$_id"},
                }
            },
            {"$match": {"n": {"$gt": 1}}},
            {"$limit": limit},
        ]
        cursor = await self._collections[name].aggregate(stages, allowDiskUse=True)
        return [(d["_id"]["client_id"], d["last"]) async for d in cursor]


def _guards(index: Any) -> bool:
    return bool(index.get("unique")) and list(index["key"]) == _KEY
