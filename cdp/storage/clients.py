"""`clients` and `api_keys`: who may send."""

from collections.abc import Sequence
from datetime import datetime

from cdp.domain.client import ApiKey, Client
from cdp.domain.ids import ClientId
from cdp.storage.codec import present
from cdp.storage.database import Database, Document, insert_new, repository


@repository
class Clients:
    """Tenants."""

    def __init__(self, database: Database) -> None:
        self._collection = database["clients"]

    async def insert(self, client: Client) -> None:
        """Add a client."""
        document = present(
            _id=client.id,
            name=client.name,
            track_opens=client.track_opens,
            track_clicks=client.track_clicks,
            offers_unsubscribe=client.offers_unsubscribe,
            backlog_max=client.backlog_max,
            created_at=client.created_at,
        )
        await insert_new(self._collection, [document])

    async def named(self, name: str) -> Client | None:
        """The client with this name."""
        document = await self._collection.find_one({"name": name})
        return None if document is None else _client(document)

    async def across_clients(self, ids: Sequence[ClientId]) -> dict[ClientId, Client]:
        """Clients by their ids."""
        cursor = self._collection.find({"_id": {"$in": list(ids)}})
        found = [_client(document) async for document in cursor]
        return {client.id: client for client in found}

    async def all(self) -> list[Client]:
        """Every client, by name."""
        return [_client(document) async for document in self._collection.find().sort("name", 1)]

    async def set_backlog_max(self, client_id: ClientId, backlog_max: int | None) -> None:
        """Change how many unfinished results a client may have."""
        change = (
            {"$unset": {"backlog_max": ""}}
            if backlog_max is None
            else {"$set": {"backlog_max": backlog_max}}
        )
        await self._collection.update_one({"_id": client_id}, change)

    async def set_offers_unsubscribe(self, client_id: ClientId, offers: bool) -> None:
        """Change whether all emails of a client carry the way out."""
        change = {"$set": {"offers_unsubscribe": offers}}
        await self._collection.update_one({"_id": client_id}, change)


@repository
class ApiKeys:
    """Keys, found by the part of them that is no secret."""

    def __init__(self, database: Database) -> None:
        self._collection = database["api_keys"]

    async def insert(self, key: ApiKey) -> None:
        """Add a key."""
        document = present(
            _id=key.key_id,
            client_id=key.client_id,
            secret_hash=key.secret_hash,
            name=key.name,
            live=key.live,
            expires_at=key.expires_at,
            created_at=key.created_at,
        )
        await insert_new(self._collection, [document])

    async def find(self, key_id: str) -> ApiKey | None:
        """The key with this id."""
        document = await self._collection.find_one({"_id": key_id})
        return None if document is None else _api_key(document)

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """Make a key worthless; whether there was one."""
        result = await self._collection.update_one({"_id": key_id}, {"$set": {"revoked_at": at}})
        return result.matched_count == 1

    async def of_client(self, client_id: ClientId) -> list[ApiKey]:
        """A client's keys."""
        cursor = self._collection.find({"client_id": client_id}).sort("created_at", 1)
        return [_api_key(document) async for document in cursor]


def _client(document: Document) -> Client:
    return Client(
        id=document["_id"],
        name=document["name"],
        track_opens=document["track_opens"],
        track_clicks=document["track_clicks"],
        offers_unsubscribe=document.get("offers_unsubscribe", False),
        backlog_max=document.get("backlog_max"),
        created_at=document["created_at"],
    )


def _api_key(document: Document) -> ApiKey:
    return ApiKey(
        key_id=document["_id"],
        client_id=document["client_id"],
        secret_hash=document["secret_hash"],
        name=document.get("name", ""),
        live=document["live"],
        expires_at=document.get("expires_at"),
        revoked_at=document.get("revoked_at"),
        created_at=document["created_at"],
    )
