"""`links`: the targets of tracked links. A token names one; no URL ever travels in a token."""

from collections.abc import Mapping, Sequence

from cdp.domain.ids import ClientId
from cdp.storage.database import Database, insert_new, repository


@repository
class Links:
    """Insert-only, and the same link of the same client is stored once."""

    def __init__(self, database: Database) -> None:
        self._collection = database["links"]

    async def insert(self, client_id: ClientId, urls: Mapping[bytes, str]) -> None:
        """Store links by their ids."""
        documents = [
            {"_id": link_id, "client_id": client_id, "url": url} for link_id, url in urls.items()
        ]
        await insert_new(self._collection, documents)

    async def across_clients(self, link_ids: Sequence[bytes]) -> dict[bytes, tuple[ClientId, str]]:
        """The owner and target of each link."""
        cursor = self._collection.find({"_id": {"$in": list(link_ids)}})
        return {d["_id"]: (d["client_id"], d["url"]) async for d in cursor}
