"""`partition_leases`: which shard owns which partition. Time is MongoDB's own (rule D6).

A document is a partition. The Supervisor writes `assigned`; a shard's incarnation writes itself
into `holder`, raising `epoch` when the hand changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdp.domain.ids import Partition
from cdp.storage.database import Database, Document, insert_new, repository


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLease:
    """A partition as it is held."""

    partition: Partition
    assigned: str | None
    holder: str | None
    epoch: int


@repository
class PartitionLeases:
    """Assigning, taking, renewing and giving back."""

    def __init__(self, database: Database) -> None:
        self._collection = database["partition_leases"]

    async def create(self, partitions: int) -> None:
        """Make the partitions exist."""
        await insert_new(self._collection, [{"_id": p, "epoch": 0} for p in range(partitions)])

    async def all(self) -> list[PartitionLease]:
        """Every partition."""
        return [_lease(document) async for document in self._collection.find().sort("_id", 1)]

    async def assign(self, plan: Mapping[str, Sequence[Partition]]) -> None:
        """Say which shard is to hold which partitions; the holders follow at their renewal."""
        for shard, partitions in plan.items():
            await self._collection.update_many(
                {"_id": {"$in": list(partitions)}}, {"$set": {"assigned": shard}}
            )

    async def take(self, shard: str, incarnation: str, *, ttl_s: float) -> list[PartitionLease]:
        """Renew what this incarnation holds, and take what is assigned to its shard and free.

        Free is what nobody holds, what has lapsed, and what an earlier incarnation of the same
        shard held: that one is dead, and if it should not be, the log still is the gate.

        Returns:
            All that it holds now.
        """
        mine = {"$eq": ["$holder", incarnation]}
        free = {
            "$or": [
                {"$eq": [{"$ifNull": ["$holder", None]}, None]},
                {"$lt": ["$expires_at", "$$NOW"]},
                {"$eq": ["$shard", shard]},
            ]
        }
        update: list[Document] = [
            {
                "$set": {
                    "epoch": {"$cond": [mine, "$epoch", {"$add": ["$epoch", 1]}]},
                    "holder": incarnation,
                    "shard": shard,
                    "expires_at": {"$add": ["$$NOW", int(ttl_s * 1000)]},
                }
            }
        ]
        query: dict[str, Any] = {"assigned": shard, "$expr": {"$or": [mine, free]}}
        await self._collection.update_many(query, update)
        held = self._collection.find({"holder": incarnation, "assigned": shard})
        return [_lease(document) async for document in held]

    async def give_back(self, incarnation: str) -> None:
        """Free what this incarnation holds but is no longer assigned, or all when it ends."""
        await self._collection.update_many({"holder": incarnation}, {"$unset": {"holder": ""}})

    async def give_back_all_but(self, incarnation: str, kept: Sequence[Partition]) -> None:
        """Free what this incarnation holds beside these."""
        query = {"holder": incarnation, "_id": {"$nin": list(kept)}}
        await self._collection.update_many(query, {"$unset": {"holder": ""}})


def _lease(document: Document) -> PartitionLease:
    return PartitionLease(
        partition=Partition(document["_id"]),
        assigned=document.get("assigned"),
        holder=document.get("holder"),
        epoch=document["epoch"],
    )
