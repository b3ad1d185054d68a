"""`communication_logs`: the truth. Insert-only, clustered by an `_id` that only one writer can win.

The collection is clustered, so a result's events lie together in the order of their numbers and
need no second index.
"""

from collections.abc import AsyncIterator, Sequence

from cdp.domain.event import Event, EventName
from cdp.domain.ids import ResultId, result_of
from cdp.storage.database import Database, Document, insert_new, repository

_FIRST = b"\x00\x00\x00\x01" + bytes(8)
_LAST_NUMBERED = b"\xff\xff\xff\xfe" + b"\xff" * 8
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
        return await insert_new(self._collection, [_document(e) for e in events], mark="writer")

    async def of_result(self, client_id: bytes, result_id: ResultId) -> list[Event]:
        """All events of one result: the numbered ones in order, then the others."""
        bounds = {"$gte": result_id + bytes(12), "$lte": result_id + _LAST}
        query = {"_id": bounds, "client_id": client_id}
        return [_event(d) async for d in self._collection.find(query).sort("_id", 1)]

    async def numbered_across_clients(
        self, result_ids: Sequence[ResultId]
    ) -> dict[ResultId, list[Event]]:
        """The numbered events of each result, in order: what its projection must equal."""
        found: dict[ResultId, list[Event]] = {result_id: [] for result_id in result_ids}
        ranges = [{"_id": {"$gte": r + _FIRST, "$lte": r + _LAST_NUMBERED}} for r in result_ids]
        if not ranges:
            return found
        async for document in self._collection.find({"$or": ranges}).sort("_id", 1):
            event = _event(document)
            found[result_of(event.id)].append(event)
        return found

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
