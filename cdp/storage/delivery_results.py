"""`delivery_results`: the projection of the log, and with it the durable queue.

A result with `due_at` is unfinished and stands in the work index; a final state takes it out.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pymongo import UpdateMany, UpdateOne

from cdp.domain.campaign import HELD_UNTIL
from cdp.domain.delivery_result import WorkItem
from cdp.domain.failure import failure_document
from cdp.domain.ids import BatchId, ClientId, Partition, ResultId
from cdp.domain.lane import Level, Priority
from cdp.domain.record import record
from cdp.storage.codec import item_of, present
from cdp.storage.database import Database, Document, insert_new, repository

ITEM_FIELDS: Final = dict.fromkeys(
    (
        "request_id", "client_id", "channel", "campaign", "segment", "partition", "lane",
        "priority", "status", "seq", "attempt", "lost", "has_content", "due_at", "send_at",
        "expires_at", "updated_at", "reason", "provider", "failed_by", "failure",
        "replayed_after", "timezone",
    ),
    1,
)  # fmt: skip


@record
class NewResult:
    """A result at its birth: what never changes beside the item itself."""

    item: WorkItem
    recipient: str
    batch_id: BatchId | None = None
    reference: str | None = None
    suppressed_as: str | None = None
    """The recipient as it would be suppressed, where that is another spelling."""
    topic: str | None = None
    created_at: datetime


@record
class Projection:
    """A result as its log says it is after an event."""

    item: WorkItem
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What whoever records an opening has to know of a result."""

    client_id: ClientId
    delivered_at: datetime | None


@repository
class DeliveryResults:
    """Reads the queue and keeps the projection up to date."""

    def __init__(self, database: Database) -> None:
        self._collection = database["delivery_results"]

    async def insert(self, results: Sequence[NewResult]) -> None:
        """Make the results exist; those that are there already stay as they are."""
        await insert_new(self._collection, [_document(result) for result in results])

    async def project(self, projections: Sequence[Projection], *, again: bool = False) -> None:
        """Bring results up to date, never back: an older number changes nothing.

        One update for each group of equal outcomes; in a batch there are few.

        Args:
            projections: the results as they are now.
            again: write also over the same number, whose lease has been renewed.
        """
        older = "$lte" if again else "$lt"
        groups: dict[tuple[Any, ...], tuple[Document, list[bytes]]] = {}
        for projection in projections:
            fields = _fields(projection)
            key = tuple(fields.items())
            change = _change(projection.item, fields)
            groups.setdefault(key, (change, []))[1].append(projection.item.result_id)
        updates = [
            UpdateMany({"_id": {"$in": ids}, "seq": {older: change["$set"]["seq"]}}, change)
            for change, ids in groups.values()
        ]
        if updates:
            await self._collection.bulk_write(updates, ordered=False)

    async def due_across_clients(
        self,
        *,
        partitions: Sequence[Partition],
        lane: str,
        priority: Priority,
        client_id: ClientId,
        after: datetime | None,
        until: datetime,
        limit: int,
    ) -> list[WorkItem]:
        """One client's due items of these partitions, by one range of the work index each.

        Args:
            after: what is due before this has been emptied; finished entries linger there in the
                index and would be walked over.
        """
        due: Document = {"$lte": until}
        if after is not None:
            due["$gt"] = after
        query = {
            "partition": {"$in": list(partitions)},
            "lane": lane,
            "priority": int(priority),
            "client_id": client_id,
            "due_at": due,
        }
        # The oldest of all partitions first: MongoDB merges their ranges, and sorts nothing.
        found = self._collection.find(query, ITEM_FIELDS, hint=WORK_INDEX)
        return [item_of(d) async for d in found.sort("due_at", 1).limit(limit)]

    async def active_clients_across_clients(
        self, levels: Sequence[Level], *, partitions: Sequence[Partition], until: datetime
    ) -> list[tuple[Level, list[ClientId]]]:
        """Who has something due on each level, found by skipping through the work index."""
        found = await asyncio.gather(
            *(self._active_clients(level, partitions, until) for level in levels)
        )
        return list(zip(levels, found, strict=True))

    async def _active_clients(
        self, level: Level, partitions: Sequence[Partition], until: datetime
    ) -> list[ClientId]:
        lane, priority = level
        query = {
            "partition": {"$in": list(partitions)},
            "lane": lane,
            "priority": int(priority),
            "due_at": {"$lte": until},
        }
        # MongoDB 6 takes no hint here, and needs none: it is a DISTINCT_SCAN of the work index.
        return await self._collection.distinct("client_id", query)

    async def scheduled_across_clients(
        self, *, after: datetime, until: datetime, limit: int
    ) -> list[WorkItem]:
        """What is scheduled in a span of time, the earliest first."""
        query = {"status": "scheduled", "due_at": {"$gt": after, "$lte": until}}
        cursor = self._collection.find(query, ITEM_FIELDS, hint=SCHEDULE_INDEX)
        return [item_of(d) async for d in cursor.sort("due_at", 1).limit(limit)]

    async def items_across_clients(
        self, result_ids: Iterable[ResultId]
    ) -> dict[ResultId, WorkItem]:
        """The items as the projection has them now."""
        cursor = self._collection.find({"_id": {"$in": list(result_ids)}}, ITEM_FIELDS)
        items = [item_of(document) async for document in cursor]
        return {item.result_id: item for item in items}

    async def unfinished_across_clients(
        self, partitions: Sequence[Partition], *, due_by: datetime
    ) -> tuple[Mapping[ClientId, int], int]:
        """How many unfinished results each client has there, and how many in all are due.

        It walks the index: ask seldom. What a campaign holds is not counted, nor walked over.
        """
        due_at = {"$gt": _EPOCH, "$lt": HELD_UNTIL}
        stages: list[Document] = [
            {"$match": {"partition": {"$in": list(partitions)}, "due_at": due_at}},
            {
                "$group": {
                    "_id": "$client_id",
                    "open": {"$sum": 1},
                    "due": {"$sum": {"$cond": [{"$lte": ["$due_at", due_by]}, 1, 0]}},
                }
            },
        ]
        cursor = await self._collection.aggregate(stages, hint=WORK_INDEX)
        counts = [document async for document in cursor]
        return {d["_id"]: d["open"] for d in counts}, sum(d["due"] for d in counts)

    async def of_request(
        self, client_id: ClientId, result_ids: Sequence[ResultId]
    ) -> list[Document]:
        """The results of one request, as documents for the API."""
        query = {"_id": {"$in": list(result_ids)}, "client_id": client_id}
        return [document async for document in self._collection.find(query).sort("_id", 1)]

    async def page(
        self,
        client_id: ClientId,
        *,
        filters: Mapping[str, Any],
        before: bytes | None,
        since: bytes | None = None,
        limit: int,
    ) -> list[Document]:
        """The newest results first: those with ids from `since` on and below `before`."""
        query: Document = {"client_id": client_id, **filters}
        bounds = {"$lt": before, "$gte": since}
        ids = {operator: bound for operator, bound in bounds.items() if bound is not None}
        if ids:
            query["_id"] = ids
        cursor = self._collection.find(query).sort("_id", -1).limit(limit)
        return [document async for document in cursor]

    async def of_batch(
        self, client_id: ClientId, batch_id: BatchId, *, after: bytes | None, limit: int
    ) -> list[Document]:
        """A batch's results in the order of their ids."""
        query: Document = {"client_id": client_id, "batch_id": batch_id}
        if after is not None:
            query["_id"] = {"$gt": after}
        cursor = self._collection.find(query).sort("_id", 1).limit(limit)
        return [document async for document in cursor]

    async def counts_of_batch(
        self, client_id: ClientId, batch_id: BatchId
    ) -> list[tuple[str, bool, int]]:
        """How many of a batch are in each status, those tried before apart."""
        stages: list[Document] = [
            {"$match": {"client_id": client_id, "batch_id": batch_id}},
            {
                "$group": {
                    "_id": {"status": "$status", "tried": {"$gt": ["$attempt", 0]}},
                    "count": {"$sum": 1},
                }
            },
        ]
        cursor = await self._collection.aggregate(stages)
        return [(d["_id"]["status"], d["_id"]["tried"], d["count"]) async for d in cursor]

    async def open_to(
        self,
        client_id: ClientId,
        channel: str,
        recipients: Sequence[str],
        *,
        after: bytes | None,
        limit: int,
    ) -> list[tuple[ResultId, str, str | None]]:
        """Unfinished results to these recipients, given as they would be suppressed: each with its
        recipient in that form, and its topic."""
        wanted = {"$in": list(recipients)}
        query: Document = {
            "client_id": client_id,
            "channel": channel,
            "due_at": {"$exists": True},
            "$or": [{"recipient": wanted}, {"suppressed_as": wanted}],
        }
        if after is not None:
            query["_id"] = {"$gt": after}
        fields = {"recipient": 1, "suppressed_as": 1, "topic": 1}
        cursor = self._collection.find(query, fields).sort("_id", 1).limit(limit)
        return [
            (d["_id"], d.get("suppressed_as") or d["recipient"], d.get("topic"))
            async for d in cursor
        ]

    async def suppressible(
        self, result_id: ResultId
    ) -> tuple[ClientId, str, str, str | None] | None:
        """Of one result: client, channel, recipient as it would be suppressed, and topic."""
        document = await self._collection.find_one({"_id": result_id})
        if document is None:
            return None
        recipient = document.get("suppressed_as") or document["recipient"]
        return document["client_id"], document["channel"], recipient, document.get("topic")

    async def sent_across_clients(self, result_ids: Iterable[ResultId]) -> dict[ResultId, Sent]:
        """Whose these results are, and since when they are delivered."""
        fields = {"client_id": 1, "delivered_at": 1}
        cursor = self._collection.find({"_id": {"$in": list(result_ids)}}, fields)
        return {
            d["_id"]: Sent(client_id=d["client_id"], delivered_at=d.get("delivered_at"))
            async for d in cursor
        }

    async def mark_engaged(self, marks: Sequence[tuple[str, datetime, ResultId]]) -> None:
        """Show the first open, read or click of each result: in this field, at this time."""
        updates = [
            UpdateOne({"_id": result_id}, {"$min": {field: at}}) for field, at, result_id in marks
        ]
        if updates:
            await self._collection.bulk_write(updates, ordered=False)

    async def everything_across_clients(self, *, batch: int = 5_000) -> AsyncIterator[Document]:
        """All results in the order of ids: for the audit, beside the log."""
        cursor = self._collection.find({}).sort("_id", 1).batch_size(batch)
        async for document in cursor:
            yield document


WORK_INDEX: Final = "work"
SCHEDULE_INDEX: Final = "schedule"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _document(result: NewResult) -> Document:
    item = result.item
    said = (
        ("campaign", item.campaign),
        ("segment", item.segment),
        ("batch_id", result.batch_id),
        ("reference", result.reference),
        ("suppressed_as", result.suppressed_as),
        ("topic", result.topic),
        ("send_at", item.send_at),
        ("expires_at", item.expires_at),
        ("timezone", item.timezone),
    )
    return {
        "_id": item.result_id,
        "request_id": item.request_id,
        "client_id": item.client_id,
        "channel": item.channel,
        "recipient": result.recipient,
        "status": item.status.value,
        "seq": item.seq,
        "attempt": item.attempt,
        "partition": item.partition,
        "lane": item.lane,
        "priority": int(item.priority),
        "due_at": item.due_at,
        "created_at": result.created_at,
        "updated_at": result.created_at,
    } | {name: value for name, value in said if value}


_UNSET_WHEN_ABSENT: Final = (
    "send_at", "expires_at", "reason", "provider", "failed_by", "failure",
)  # fmt: skip


def _fields(projection: Projection) -> Document:
    """What is set, by which results are grouped that it is the same for."""
    item = projection.item
    fields = present(
        status=item.status.value,
        seq=item.seq,
        attempt=item.attempt,
        lost=item.lost,
        has_content=item.has_content,
        lane=item.lane,
        priority=int(item.priority),
        send_at=item.send_at,
        expires_at=item.expires_at,
        updated_at=projection.at,
        reason=item.reason,
        provider=item.provider,
        failed_by=item.failed_by,
        failure=item.failure,
        replayed_after=item.replayed_after or None,
    )
    if not item.is_final:
        fields["due_at"] = item.due_at
    elif item.status == "delivered":
        fields["delivered_at"] = projection.at
    return fields


def _change(item: WorkItem, fields: Document) -> Document:
    gone = {name: "" for name in _UNSET_WHEN_ABSENT if name not in fields}
    if item.is_final:
        gone["due_at"] = ""
    if item.failure is not None:
        fields = {**fields, "failure": failure_document(item.failure)}
    change: Document = {"$set": fields}
    if gone:
        change["$unset"] = gone
    return change
