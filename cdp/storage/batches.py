"""`batches`: what came in one call. Its id fixes the ids of all that came with it."""

from dataclasses import dataclass
from datetime import datetime

from cdp.domain.ids import BatchId, ClientId
from cdp.storage.codec import present
from cdp.storage.database import Database, Document, insert_new, repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as it was begun. `accepted` is set when all of it is durable."""

    id: BatchId
    client_id: ClientId
    idempotency_key: str | None = None
    body_hash: bytes | None = None
    created_at: datetime
    accepted: int | None = None
    rejected: int | None = None
    results: int | None = None
    """How many results its accepted requests have: one for each recipient."""


@repository
class Batches:
    """Begun, then finished with its counts."""

    def __init__(self, database: Database) -> None:
        self._collection = database["batches"]

    async def begin(self, batch: Batch) -> Batch:
        """Store the batch, or find the one that came before with its idempotency key.

        Returns:
            The stored one: the caller's own, or an earlier one with another id.
        """
        document = present(
            _id=batch.id,
            client_id=batch.client_id,
            idempotency_key=batch.idempotency_key,
            body_hash=batch.body_hash,
            created_at=batch.created_at,
        )
        if batch.idempotency_key is None:
            await insert_new(self._collection, [document])
            return batch
        query = {"client_id": batch.client_id, "idempotency_key": batch.idempotency_key}
        await self._collection.update_one(query, {"$setOnInsert": document}, upsert=True)
        stored = await self._collection.find_one(query)
        assert stored is not None
        return _batch(stored)

    async def finish(
        self, batch_id: BatchId, *, accepted: int, rejected: int, results: int
    ) -> None:
        """Set the counts, once all that was accepted is durable."""
        counts = {"accepted": accepted, "rejected": rejected, "results": results}
        await self._collection.update_one({"_id": batch_id}, {"$set": counts})

    async def of_client(self, client_id: ClientId, batch_id: BatchId) -> Batch | None:
        """One batch."""
        document = await self._collection.find_one({"_id": batch_id, "client_id": client_id})
        return None if document is None else _batch(document)


def _batch(document: Document) -> Batch:
    return Batch(
        id=document["_id"],
        client_id=document["client_id"],
        idempotency_key=document.get("idempotency_key"),
        body_hash=document.get("body_hash"),
        created_at=document["created_at"],
        accepted=document.get("accepted"),
        rejected=document.get("rejected"),
        results=document.get("results"),
    )
