"""Results say what went wrong last; dead letters have their index."""

from collections.abc import Sequence

from pymongo import UpdateOne

from cdp.domain.event import fold
from cdp.domain.failure import failure_document
from cdp.domain.ids import number_of
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.database import Database, Document
from cdp.storage.indexes import INDEXES

_AT_ONCE = 500
_MAY_HAVE_FAILED: Document = {
    "failure": {"$exists": False},
    "$or": [
        {"status": "undeliverable"},
        {"attempt": {"$gt": 0}, "status": {"$ne": "delivered"}},
    ],
}


async def apply(database: Database) -> None:
    """Take the failure of each result from its log, and create the index."""
    results = database["delivery_results"]
    waiting: list[Document] = []
    async for result in results.find(_MAY_HAVE_FAILED, {"seq": 1}).sort("_id", 1):
        waiting.append(result)
        if len(waiting) == _AT_ONCE:
            await _fill_in(database, waiting)
            waiting = []
    await _fill_in(database, waiting)
    await results.create_indexes(INDEXES["delivery_results"])


async def _fill_in(database: Database, results: Sequence[Document]) -> None:
    logs = await CommunicationLogs(database).numbered_across_clients([r["_id"] for r in results])
    updates = []
    for result in results:
        # As far as the result is; who moves it next writes the failure too.
        known = [e for e in logs[result["_id"]] if (number_of(e.id) or 0) <= result["seq"]]
        failure = fold((e.name, e.at, e.metadata) for e in known).failure
        if failure is not None:
            query = {"_id": result["_id"], "seq": result["seq"]}
            updates.append(UpdateOne(query, {"$set": {"failure": failure_document(failure)}}))
    if updates:
        await database["delivery_results"].bulk_write(updates, ordered=False)
