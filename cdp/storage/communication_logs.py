"""`communication_logs`: the truth. Insert-only, clustered by an `_id` that only one writer can win.

The collection is clustered, so a result's events lie together in the order of their numbers and
need no second index.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from cdp.domain.event import Event, EventName
from cdp.domain.ids import ResultId
from cdp.storage.database import Database, Document, insert_new, repository

_FIRST = b"\x00\x00\x00\x01" + bytes(8)
_LAST_NUMBERED = b"\xff\xff\xff\xfe" + b"\xff" * 8
_AT_ONCE: Final = 50
_LAST = b"\xff" * 12
# MongoDB compares Binary by length before it looks at a byte: every bound has 28 of them.


@repository
class CommunicationLogs:
    """Appends and reads events. Nothing here can change one."""

    def __init__(self, database: Database) -> None:
        self._collection = database["communication_logs"]

    async def append(self, events: Sequence[Event]) -> list[bool]:
        """Insert the events; for each, whether it is ours.

        Of an event that is not, another writer has won its number: nothing may be done on it.

        Raises:
            OutcomeUnknown: MongoDB could not be asked.
        """
        documents = [_document(event) for event in events]
        return await insert_new(self._collection, documents, mark="writer", clustered=True)

    async def of_result(self, client_id: bytes, result_id: ResultId) -> list[Event]:
        """All events of one result: the numbered ones in order, then the others."""
        bounds = {"$gte": result_id + bytes(12), "$lte": result_id + _LAST}
        query = {"_id": bounds, "client_id": client_id}
        return [_event(d) async for d in self._collection.find(query).sort("_id", 1)]

    async def numbered_across_clients(
        self, result_ids: Sequence[ResultId]
    ) -> dict[ResultId, list[Event]]:
        """The numbered events of each result, in order: what its projection must equal."""
        events: dict[ResultId, list[Event]] = {}
        for start in range(0, len(result_ids), _AT_ONCE):
            some = result_ids[start : start + _AT_ONCE]
            read = await asyncio.gather(*(self._numbered(result_id) for result_id in some))
            events |= dict(zip(some, read, strict=True))
        return events

    async def _numbered(self, result_id: ResultId) -> list[Event]:
        # One range each: MongoDB 6 answers `$or` and `$in` on a clustered `_id` by reading the
        # whole collection.
        bounds = {"$gte": result_id + _FIRST, "$lte": result_id + _LAST_NUMBERED}
        return [_event(d) async for d in self._collection.find({"_id": bounds}).sort("_id", 1)]

    async def everything_across_clients(self, *, batch: int = 5_000) -> AsyncIterator[Event]:
        """The whole log in the order of ids: for the audit."""
        query: Document = {}
        async for document in self._collection.find(query).sort("_id", 1).batch_size(batch):
            yield _event(document)


def _document(event: Event) -> Document:
    document: Document = {
        "_id": event.id,
        "event": event.name.value,
        "created_at": event.at,
        "client_id": event.client_id,
        "writer": event.writer,
    }
    if event.metadata:
        document["metadata"] = dict(event.metadata)
    return document


def _event(document: Document) -> Event:
    return Event(
        id=document["_id"],
        name=EventName(document["event"]),
        at=document["created_at"],
        client_id=document["client_id"],
        writer=document["writer"],
        metadata=document.get("metadata", {}),
    )
