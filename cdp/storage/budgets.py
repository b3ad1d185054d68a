"""`budgets`: up to when the budgets of each channel are spent."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from pymongo import UpdateOne

from cdp.storage.database import Database, repository


@repository
class SpentBudgets:
    """One document for each budget of a channel that was spent of lately."""

    def __init__(self, database: Database) -> None:
        self._collection = database["budgets"]

    async def spent_to(self, channel: str, keys: Iterable[str]) -> dict[str, datetime]:
        """Up to when these budgets are spent, of those that are known."""
        wanted = {f"{channel}/{key}": key for key in keys}
        cursor = self._collection.find({"_id": {"$in": list(wanted)}})
        return {wanted[document["_id"]]: document["spent_to"] async for document in cursor}

    async def save(self, channel: str, spent_to: Mapping[str, datetime]) -> None:
        """Keep up to when they are spent; what is later already stays."""
        updates = [
            UpdateOne({"_id": f"{channel}/{key}"}, {"$max": {"spent_to": moment}}, upsert=True)
            for key, moment in spent_to.items()
        ]
        if updates:
            await self._collection.bulk_write(updates, ordered=False)
