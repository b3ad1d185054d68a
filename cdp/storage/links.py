"""`links`: the targets of tracked links. A token names one; no URL ever travels in a token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdp.domain.ids import ClientId
from cdp.storage.database import Database, insert_new, repository


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkList:
    """The links of one rendering of a message, in the order of their index."""

    id: bytes
    client_id: ClientId
    urls: tuple[str, ...]


@repository
class Links:
    """Insert-only."""

    def __init__(self, database: Database) -> None:
        self._collection = database["links"]

    async def insert(self, lists: Sequence[LinkList]) -> None:
        """Store lists of links."""
        documents = [{"_id": x.id, "client_id": x.client_id, "urls": x.urls} for x in lists]
        await insert_new(self._collection, documents)

    async def across_clients(self, ids: Sequence[bytes]) -> Mapping[bytes, LinkList]:
        """The lists with these ids."""
        cursor = self._collection.find({"_id": {"$in": list(ids)}})
        return {
            d["_id"]: LinkList(id=d["_id"], client_id=d["client_id"], urls=tuple(d["urls"]))
            async for d in cursor
        }
