"""`delivery_results` campaign by campaign: counted, looked for, and read in batches.

Everything here walks the index `campaign`, and no document is read to count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cdp.domain.campaign import HELD, CampaignKey
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import FINAL_STATUSES, Status
from cdp.domain.ids import Partition
from cdp.storage.codec import item_of
from cdp.storage.database import Database, Document, Session, repository
from cdp.storage.delivery_results import ITEM_FIELDS

CAMPAIGN_INDEX: Final = "campaign"
_OPEN: Final = tuple(status.value for status in Status if status not in FINAL_STATUSES)
_CANCELLABLE: Final = tuple(name for name in _OPEN if name != Status.SENDING.value)
BOUNCED: Final = "address"
"""The reason of what was given up since nobody has its address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignCounts:
    """How many results of a campaign are where, all at one moment."""

    by_status: Mapping[Status, int]
    held: int = 0
    """Of the scheduled."""
    retrying: int = 0
    """Of the scheduled."""
    bounced: int = 0
    """Of the undeliverable."""


@repository
class CampaignResults:
    """Results of one campaign at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database["delivery_results"]

    async def counts(self, key: CampaignKey) -> CampaignCounts:
        """Count all results, each in one place though they move meanwhile."""
        async with self._database.snapshot() as session:
            by_status = {
                status: await self._count(session, key, status=status.value) for status in Status
            }
            scheduled = Status.SCHEDULED.value
            return CampaignCounts(
                by_status=by_status,
                held=await self._count(session, key, status=scheduled, reason=HELD),
                retrying=await self._count(session, key, status=scheduled, reason="retry"),
                bounced=await self._count(
                    session, key, status=Status.UNDELIVERABLE.value, reason=BOUNCED
                ),
            )

    async def _count(self, session: Session, key: CampaignKey, **fields: str) -> int:
        # One range of the index, of which MongoDB counts the keys; to group would take thrice as
        # long.
        stages: list[Document] = [
            {"$match": _of(key) | fields},
            {"$group": {"_id": None, "count": {"$sum": 1}}},
        ]
        cursor = await self._collection.aggregate(stages, hint=CAMPAIGN_INDEX, session=session)
        return sum([document["count"] async for document in cursor])

    async def has_open(self, key: CampaignKey) -> bool:
        """Whether anything of it is unfinished."""
        query = _of(key) | {"status": {"$in": list(_OPEN)}}
        return await self._collection.find_one(query, {"_id": 1}, hint=CAMPAIGN_INDEX) is not None

    async def held_across_clients(
        self, key: CampaignKey, partitions: Sequence[Partition], *, limit: int
    ) -> list[WorkItem]:
        """What is held of it in these partitions."""
        return await self._items(key, partitions, limit, status="scheduled", reason=HELD)

    async def cancellable_across_clients(
        self, key: CampaignKey, partitions: Sequence[Partition], *, limit: int
    ) -> list[WorkItem]:
        """What is unfinished of it in these partitions, and not being sent."""
        return await self._items(key, partitions, limit, status={"$in": list(_CANCELLABLE)})

    async def _items(
        self, key: CampaignKey, partitions: Sequence[Partition], limit: int, **fields: Any
    ) -> list[WorkItem]:
        query = _of(key) | fields | {"partition": {"$in": list(partitions)}}
        cursor = self._collection.find(query, ITEM_FIELDS, hint=CAMPAIGN_INDEX)
        # In one answer, not in two.
        found = cursor.limit(limit).batch_size(limit)
        return [item_of(document) async for document in found]


def _of(key: CampaignKey) -> Document:
    client_id, name = key
    return {"client_id": client_id, "campaign": name}
