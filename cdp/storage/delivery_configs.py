"""`delivery_configs`: how delivery and retries go, for the platform and for a client."""

from dataclasses import asdict
from typing import Any

from cdp.domain.delivery_config import DeliveryConfig
from cdp.domain.ids import ClientId
from cdp.storage.database import Database, repository


@repository
class DeliveryConfigs:
    """One document for each scope; the platform's has no client."""

    def __init__(self, database: Database) -> None:
        self._collection = database["delivery_configs"]

    async def put(self, client_id: ClientId | None, config: DeliveryConfig) -> None:
        """Set the fields that `config` names; those that it does not name are inherited."""
        fields = {name: value for name, value in asdict(config).items() if value is not None}
        await self._collection.replace_one(
            {"client_id": client_id}, {"client_id": client_id, "fields": fields}, upsert=True
        )

    async def of_client(self, client_id: ClientId) -> list[DeliveryConfig]:
        """The platform's and the client's own, the widest first."""
        query: dict[str, Any] = {"client_id": {"$in": [None, client_id]}}
        found = {d["client_id"]: d["fields"] async for d in self._collection.find(query)}
        scopes: list[ClientId | None] = [None, client_id]
        return [DeliveryConfig(**found[scope]) for scope in scopes if scope in found]
