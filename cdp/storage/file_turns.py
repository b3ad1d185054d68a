"""`files`, as those see them who work on them: whose turn it is, and who holds what.

A file belongs to one holder at a time, by a lease on MongoDB's own clock. Clients have turns in
the order of their ids, the files of one client in the order of their last turns: each is one look
into an index, and nobody has to keep where the round is.
"""

from dataclasses import dataclass
from typing import Any, Final

from cdp.domain.ids import ClientId
from cdp.domain.request_file import OPEN, FileState, RequestFile
from cdp.storage.database import Database, Document, repository

_OPEN: Final[Document] = {"state": {"$in": [state.value for state in OPEN]}}
_RECEIVING: Final[Document] = {"state": FileState.RECEIVING.value}
_BATCH_OPEN: Final[Document] = {"batch_open": True}
_ENDED_EARLY: Final = [FileState.FAILED.value, FileState.CANCELLED.value]
_FREE: Final[Document] = {"$expr": {"$lte": ["$lease_until", "$$NOW"]}}


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """A file that nobody works on."""

    client_id: ClientId
    id: bytes


Held = WaitingFile | RequestFile
"""What names a file that somebody holds, or would."""


@repository
class FileTurns:
    """Who works on which file."""

    def __init__(self, database: Database) -> None:
        self._collection = database["files"]

    async def next_across_clients(self, *, after: ClientId | None) -> WaitingFile | None:
        """A file that somebody should work on, nobody does, and that does not rest.

        Args:
            after: it is of the client next to this one; of this one's own only if there is none.
        """
        rounds: list[Document] = [{}]
        if after is not None:
            rounds = [{"client_id": {"$gt": after}}, {"client_id": {"$lte": after}}]
        for clients in rounds:
            cursor = self._collection.find(
                {**_OPEN, **clients, **_FREE}, {"client_id": 1}, sort=_IN_TURN, limit=1
            )
            async for document in cursor:
                return _waiting(document)
        return None

    async def count_across_clients(self, *, limit: int) -> int:
        """How many files there is something to do for, now, and nobody does it; up to `limit`."""
        waiting = 0
        for some in (_OPEN, _RECEIVING, _BATCH_OPEN):
            if waiting < limit:
                query: Document = {**some, **_FREE}
                waiting += await self._collection.count_documents(query, limit=limit - waiting)
        return waiting

    async def claim(self, file: Held, *, holder: str, ttl_s: float) -> bool:
        """Take a file that nobody holds, by MongoDB's own clock; whether it is ours (rule D6)."""
        free = {"$or": [{"$lte": ["$lease_until", "$$NOW"]}, {"$eq": ["$holder", holder]}]}
        query = {"_id": file.id, "client_id": file.client_id, "$expr": free}
        update = [{"$set": {"holder": holder, "lease_until": _from_now(ttl_s)}}]
        return (await self._collection.update_one(query, update)).matched_count == 1

    async def renew(self, file: Held, *, holder: str, ttl_s: float) -> bool:
        """Keep it; whether it was ours still."""
        update = [{"$set": {"lease_until": _from_now(ttl_s)}}]
        return (await self._collection.update_one(_held(file, holder), update)).matched_count == 1

    async def let_go(self, file: Held, *, holder: str, rest_s: float = 0.0) -> None:
        """Let others have it, after a rest; its turn is over."""
        free = {"holder": None, "lease_until": _from_now(rest_s), "turned_at": "$$NOW"}
        await self._collection.update_one(_held(file, holder), [{"$set": free}])

    async def open_batches_across_clients(self, *, limit: int) -> list[WaitingFile]:
        """Files that ended early, whose batches have not been closed since."""
        query: Document = {**_BATCH_OPEN, **_FREE}
        cursor = self._collection.find(query, {"client_id": 1}, sort=[("lease_until", 1)])
        return [_waiting(document) async for document in cursor.limit(limit)]

    async def note_batch_closed(self, file: WaitingFile, *, holder: str) -> None:
        """Its batch has its counts, if we hold it still."""
        await self._collection.update_one(_held(file, holder), {"$unset": {"batch_open": ""}})

    async def note_batch_open(self, file: WaitingFile) -> None:
        """Rows of it may have been taken in after it had ended, so its batch is closed again."""
        query = {
            "_id": file.id,
            "client_id": file.client_id,
            "state": {"$in": _ENDED_EARLY},
            "started_at": {"$exists": True},
        }
        await self._collection.update_one(query, {"$set": {"batch_open": True}})


_IN_TURN: Final = [("client_id", 1), ("turned_at", 1)]


def _from_now(seconds: float) -> Any:
    return {"$add": ["$$NOW", int(seconds * 1_000)]}


def _held(file: Held, holder: str) -> Document:
    return {"_id": file.id, "client_id": file.client_id, "holder": holder}


def _waiting(document: Document) -> WaitingFile:
    return WaitingFile(document["client_id"], document["_id"])
