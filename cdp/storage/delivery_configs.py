"""`delivery_configs`: how delivery and retries go, level by level."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from cdp.domain.delivery_config import ConfigLevel, ConfigScope, DeliveryConfig
from cdp.domain.ids import ClientId
from cdp.storage.database import Database, Document, repository

Owner = ClientId | None
"""A client, or the platform."""


@repository
class DeliveryConfigs:
    """One document for each level; no two of one owner have the same scope."""

    def __init__(self, database: Database) -> None:
        self._collection = database["delivery_configs"]

    async def insert(self, level: ConfigLevel) -> bool:
        """Store a new level; whether its owner had none of this scope yet."""
        try:
            await self._collection.insert_one(_document(level))
        except DuplicateKeyError:
            stored = await self.at(level.client_id, level.scope)
            # The driver repeats an insert by itself after a cut connection.
            return stored is not None and stored.id == level.id
        return True

    async def replace(
        self, owner: Owner, level_id: bytes, config: DeliveryConfig, *, seen: int, at: datetime
    ) -> ConfigLevel | None:
        """Let a level say this instead, if its version is still `seen`."""
        document = await self._collection.find_one_and_update(
            {"_id": level_id, "client_id": owner, "version": seen},
            {"$set": {"fields": _fields(config), "updated_at": at, "version": seen + 1}},
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else _level(document)

    async def delete(self, owner: Owner, level_id: bytes, *, seen: int) -> bool:
        """Take a level away, if its version is still `seen`."""
        query = {"_id": level_id, "client_id": owner, "version": seen}
        return (await self._collection.delete_one(query)).deleted_count == 1

    async def find(self, owner: Owner, level_id: bytes) -> ConfigLevel | None:
        """One level."""
        document = await self._collection.find_one({"_id": level_id, "client_id": owner})
        return None if document is None else _level(document)

    async def at(self, owner: Owner, scope: ConfigScope) -> ConfigLevel | None:
        """The level of exactly this scope."""
        document = await self._collection.find_one({"client_id": owner, **_scope(scope)})
        return None if document is None else _level(document)

    async def count(self, owner: Owner) -> int:
        """How many levels an owner has."""
        return await self._collection.count_documents({"client_id": owner})

    async def page(
        self, owner: Owner, *, named: ConfigScope, after: bytes | None, limit: int
    ) -> list[ConfigLevel]:
        """Levels in the order in which they were made; only those that name what `named` does."""
        query: Document = {"client_id": owner}
        query |= {name: value for name, value in _scope(named).items() if value is not None}
        if after is not None:
            query["_id"] = {"$gt": after}
        cursor = self._collection.find(query).sort("_id", 1).limit(limit)
        return [_level(document) async for document in cursor]

    async def naming_sender(
        self, client_id: ClientId, name: str, *, limit: int
    ) -> list[ConfigLevel]:
        """Levels of a client that name this sender."""
        query = {"client_id": client_id, "fields.sender": name}
        return [_level(d) async for d in self._collection.find(query).limit(limit)]

    async def naming_provider(self, owner: Owner, name: str, *, limit: int) -> list[ConfigLevel]:
        """Levels of an owner that name this provider."""
        query = {"client_id": owner, "fields.providers": name}
        return [_level(d) async for d in self._collection.find(query).limit(limit)]

    async def naming_provider_across_clients(self, name: str) -> list[ConfigLevel]:
        """Levels of anybody that name a provider so. Reads them all: for operators only."""
        return [_level(d) async for d in self._collection.find({"fields.providers": name})]

    async def of_clients(
        self, client_ids: Sequence[ClientId]
    ) -> tuple[list[ConfigLevel], dict[ClientId, list[ConfigLevel]]]:
        """The platform's levels, and those of each client."""
        platform: list[ConfigLevel] = []
        by_client: dict[ClientId, list[ConfigLevel]] = {client_id: [] for client_id in client_ids}
        async for document in self._collection.find({"client_id": {"$in": [None, *client_ids]}}):
            level = _level(document)
            if level.client_id is None:
                platform.append(level)
            else:
                by_client[level.client_id].append(level)
        return platform, by_client


def _document(level: ConfigLevel) -> Document:
    return {
        "_id": level.id,
        "client_id": level.client_id,
        **_scope(level.scope),
        "fields": _fields(level.config),
        "version": level.version,
        "created_at": level.created_at,
        "updated_at": level.updated_at,
    }


def _scope(scope: ConfigScope) -> dict[str, str | None]:
    # With nulls, unlike other documents: what is not named is part of the unique index.
    return {"channel": scope.channel, "campaign": scope.campaign, "segment": scope.segment}


def _fields(config: DeliveryConfig) -> dict[str, Any]:
    return {n: list(v) if isinstance(v, tuple) else v for n, v in config.said().items()}


def _level(document: Document) -> ConfigLevel:
    said = dict(document["fields"])
    said |= {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return ConfigLevel(
        id=document["_id"],
        client_id=document["client_id"],
        scope=ConfigScope(
            channel=document["channel"], campaign=document["campaign"], segment=document["segment"]
        ),
        config=DeliveryConfig(**said),
        version=document["version"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
    )
