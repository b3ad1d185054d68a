"""`campaigns`: what a client runs under a name, and the number of every change.

Epochs are won as events' numbers are: whoever changes a campaign writes the highest epoch there is,
plus one, and a unique index lets one writer have it. So the change that has a number is visible
whenever a higher one is. Were the numbers drawn from a counter, two changes could become visible in
the other order, and who has seen the later would never look for the earlier.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from cdp.domain.campaign import (
    AutomaticPause,
    Campaign,
    CampaignKey,
    CampaignSettings,
    CampaignState,
    FrequencyCap,
    Reached,
)
from cdp.domain.ids import ClientId
from cdp.domain.lane import Priority
from cdp.storage.codec import present
from cdp.storage.database import Database, Document, repository


@repository
class Campaigns:
    """One document for each; a client's name is there once, even when it is only a tombstone."""

    def __init__(self, database: Database) -> None:
        self._collection = database["campaigns"]
        # A number that a change of the primary may take back must be seen by nobody: it would be
        # given to another change.
        self._settled = self._collection.with_options(read_concern=ReadConcern("majority"))

    async def insert(self, campaign: Campaign) -> Campaign | None:
        """Store a new campaign with its epoch; None where there is one of its name."""
        while True:
            numbered = replace(campaign, epoch=await self.newest_epoch() + 1)
            try:
                await self._collection.insert_one(_document(numbered))
            except DuplicateKeyError as error:
                stored = await self.find(campaign.client_id, campaign.name)
                if stored == numbered:
                    # The driver repeats an insert by itself after a cut connection.
                    return numbered
                if stored is None and _is_about_epoch(error):
                    continue
                return None
            return numbered

    async def replace(self, campaign: Campaign, *, seen: int) -> Campaign | None:
        """Store a campaign as it is now, with its epoch; None if its version is not `seen`."""
        query = {"client_id": campaign.client_id, "name": campaign.name, "version": seen}
        while True:
            numbered = replace(campaign, epoch=await self.newest_epoch() + 1)
            try:
                stored = await self._collection.find_one_and_replace(query, _document(numbered))
            except DuplicateKeyError:
                continue
            return None if stored is None else numbered

    async def newest_epoch(self) -> int:
        """The epoch of the last change of any campaign; 0 before the first."""
        newest = await self._settled.find_one({}, {"epoch": 1}, sort=[("epoch", -1)])
        return 0 if newest is None else int(newest["epoch"])

    async def changed_across_clients(self, *, after: int, limit: int) -> list[Campaign]:
        """Campaigns that changed after an epoch, in the order of their changes."""
        cursor = self._settled.find({"epoch": {"$gt": after}}).sort("epoch", 1).limit(limit)
        return [_campaign(document) async for document in cursor]

    async def unsettled_across_clients(self, *, after: int, limit: int) -> list[Campaign]:
        """Campaigns that are not over, in the order of their last changes."""
        query = {"is_settled": False, "epoch": {"$gt": after}}
        cursor = self._settled.find(query).sort("epoch", 1).limit(limit)
        return [_campaign(document) async for document in cursor]

    async def find(self, client_id: ClientId, name: str) -> Campaign | None:
        """One campaign, which may be deleted."""
        document = await self._collection.find_one({"client_id": client_id, "name": name})
        return None if document is None else _campaign(document)

    async def named_across_clients(
        self, keys: Iterable[CampaignKey]
    ) -> dict[CampaignKey, Campaign]:
        """Those of these campaigns that there are."""
        names: dict[ClientId, list[str]] = {}
        for client_id, name in keys:
            names.setdefault(client_id, []).append(name)
        if not names:
            return {}
        ranges = [
            {"client_id": client_id, "name": {"$in": wanted}} for client_id, wanted in names.items()
        ]
        found = [_campaign(d) async for d in self._collection.find({"$or": ranges})]
        return {each.key: each for each in found if not each.is_deleted}

    async def count(self, client_id: ClientId) -> int:
        """How many a client has."""
        query = {"client_id": client_id, "is_deleted": False}
        return await self._collection.count_documents(query)

    async def page(
        self, client_id: ClientId, *, filters: Mapping[str, Any], after: str | None, limit: int
    ) -> list[Campaign]:
        """Campaigns in the order of their names."""
        query: Document = {"client_id": client_id, "is_deleted": False, **filters}
        if after is not None:
            query["name"] = {"$gt": after}
        cursor = self._collection.find(query).sort("name", 1).limit(limit)
        return [_campaign(document) async for document in cursor]

    async def sweep(self, *, before: datetime) -> int:
        """Remove what was deleted before this moment, but never the newest epoch; how many."""
        query = {
            "is_settled": True,
            "is_deleted": True,
            "updated_at": {"$lt": before},
            # Were it gone, its number would be given out again.
            "epoch": {"$lt": await self.newest_epoch()},
        }
        return (await self._collection.delete_many(query)).deleted_count


def _is_about_epoch(error: DuplicateKeyError) -> bool:
    return "epoch" in (error.details or {}).get("keyPattern", {})


_SAME: Final = (
    "client_id", "name", "is_closed", "pause_reason", "started_at", "spread_from", "paused_at",
    "resumed_at", "closed_at", "ended_at", "is_deleted", "is_settled", "version", "epoch",
    "created_at", "updated_at",
)  # fmt: skip


def _document(campaign: Campaign) -> Document:
    given = {name: getattr(campaign, name) for name in _SAME}
    reached = campaign.judged_from
    return {
        **present(**given),
        "state": campaign.state.value,
        "settings": _settings_document(campaign.settings),
        "judged_from": [reached.delivered, reached.bounced, reached.complained],
    }


def _settings_document(settings: CampaignSettings) -> Document:
    cap, pause = settings.frequency_cap, settings.automatic_pause
    return present(
        description=settings.description or None,
        priority=None if settings.priority is None else int(settings.priority),
        start_at=settings.start_at,
        spread_s=settings.spread_s,
        rate_per_s=settings.rate_per_s,
        frequency_cap=None if cap is None else {"messages": cap.messages, "window_s": cap.window_s},
        automatic_pause=None
        if pause is None
        else present(
            bounce_rate=pause.bounce_rate,
            complaint_rate=pause.complaint_rate,
            results_min=pause.results_min,
        ),
    )


def _campaign(document: Document) -> Campaign:
    delivered, bounced, complained = document["judged_from"]
    return Campaign(
        **{name: document[name] for name in _SAME if name in document},
        state=CampaignState(document["state"]),
        settings=_settings(document["settings"]),
        judged_from=Reached(delivered=delivered, bounced=bounced, complained=complained),
    )


def _settings(document: Document) -> CampaignSettings:
    cap, pause = document.get("frequency_cap"), document.get("automatic_pause")
    priority = document.get("priority")
    return CampaignSettings(
        description=document.get("description", ""),
        priority=None if priority is None else Priority(priority),
        start_at=document.get("start_at"),
        spread_s=document.get("spread_s"),
        rate_per_s=document.get("rate_per_s"),
        frequency_cap=None if cap is None else FrequencyCap(**cap),
        automatic_pause=None if pause is None else AutomaticPause(**pause),
    )
