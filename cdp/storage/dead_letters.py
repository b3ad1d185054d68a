"""The dead letters among `delivery_results`, all by one partial index that holds nothing else.

The index has every field that dead letters are looked for by, so that of those that do not fit
only a key is read, and counting reads no document at all.
"""

from collections.abc import Sequence
from typing import Any, Final

from cdp.domain.dead_letter import DeadLetterFilter, DeadLetterPlace, ReasonCount
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Status
from cdp.domain.failure import ErrorClass
from cdp.domain.ids import ClientId, ResultId, lowest_id
from cdp.domain.retry import UNKNOWN
from cdp.storage.codec import item_of
from cdp.storage.database import Database, Document, repository
from cdp.storage.delivery_results import ITEM_FIELDS
from cdp.storage.indexes import DEAD_LETTERS


@repository
class DeadLetters:
    """What of a client's results is undeliverable."""

    def __init__(self, database: Database) -> None:
        self._collection = database["delivery_results"]

    async def page(
        self,
        client_id: ClientId,
        wanted: DeadLetterFilter,
        *,
        after: DeadLetterPlace | None,
        limit: int,
    ) -> list[Document]:
        """Dead letters as documents, the newest failure first."""
        query = _query(client_id, wanted)
        if after is not None:
            query["$and"] = [
                {"updated_at": {"$lte": after.failed_at}},
                {
                    "$nor": [
                        {"updated_at": after.failed_at, "_id": {"$gte": bytes(after.result_id)}}
                    ]
                },
            ]
        cursor = self._collection.find(query, hint=DEAD_LETTERS)
        return [d async for d in cursor.sort([("updated_at", -1), ("_id", -1)]).limit(limit)]

    async def oldest(
        self, client_id: ClientId, wanted: DeadLetterFilter, *, limit: int
    ) -> list[WorkItem]:
        """Dead letters as the queue knows them, the oldest failure first."""
        cursor = self._collection.find(
            _query(client_id, wanted), {**ITEM_FIELDS, "status": 1}, hint=DEAD_LETTERS
        )
        found = cursor.sort([("updated_at", 1), ("_id", 1)]).limit(limit)
        return [item_of(document) async for document in found]

    async def items(
        self, client_id: ClientId, result_ids: Sequence[ResultId]
    ) -> dict[ResultId, WorkItem]:
        """A client's results of these ids, whatever they are."""
        query = {"_id": {"$in": list(result_ids)}, "client_id": client_id}
        cursor = self._collection.find(query, ITEM_FIELDS)
        items = [item_of(document) async for document in cursor]
        return {item.result_id: item for item in items}

    async def counts(self, client_id: ClientId, wanted: DeadLetterFilter) -> list[ReasonCount]:
        """How many there are for each reason, the most first."""
        stages: list[Document] = [
            {"$match": _query(client_id, wanted)},
            {
                "$group": {
                    "_id": {"class": "$failure.class", "reason": "$failure.reason"},
                    "count": {"$sum": 1},
                    "first": {"$min": "$updated_at"},
                    "last": {"$max": "$updated_at"},
                }
            },
            {"$sort": {"count": -1, "_id.reason": 1, "_id.class": 1}},
        ]
        cursor = await self._collection.aggregate(stages, hint=DEAD_LETTERS)
        return [
            ReasonCount(
                # A version that did not write them may still run beside this one.
                error_class=ErrorClass(d["_id"].get("class") or ErrorClass.PERMANENT),
                reason=d["_id"].get("reason") or UNKNOWN,
                count=d["count"],
                first_failed_at=d["first"],
                last_failed_at=d["last"],
            )
            async for d in cursor
        ]


def _query(client_id: ClientId, wanted: DeadLetterFilter) -> Document:
    equal: dict[str, Any] = {
        "failure.class": None if wanted.error_class is None else wanted.error_class.value,
        "failure.reason": wanted.reason,
        "failure.provider": wanted.provider,
        "campaign": wanted.campaign,
        "channel": wanted.channel,
    }
    ids = {
        "$gte": None if wanted.created_from is None else lowest_id(wanted.created_from),
        "$lt": None if wanted.created_to is None else lowest_id(wanted.created_to),
    }
    failed = {"$gte": wanted.failed_from, "$lt": wanted.failed_to}
    ranges = {"_id": _said(ids), "updated_at": _said(failed)}
    return {
        "client_id": client_id,
        "status": _UNDELIVERABLE,
        **{name: bounds for name, bounds in ranges.items() if bounds},
        **_said(equal),
    }


def _said(fields: Document) -> Document:
    return {name: value for name, value in fields.items() if value is not None}


_UNDELIVERABLE: Final = Status.UNDELIVERABLE.value
