"""`providers`: accounts with vendors; of their credentials only what is sealed."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from cdp.domain.ids import ClientId
from cdp.domain.provider_account import ProviderAccount
from cdp.storage.database import Database, Document, repository

Owner = ClientId | None
"""A client, or the platform."""


@repository
class ProviderAccounts:
    """One document for each account; no two of one owner have the same name."""

    def __init__(self, database: Database) -> None:
        self._collection = database["providers"]

    async def insert(self, account: ProviderAccount) -> bool:
        """Store a new account; whether its owner had none of this name yet."""
        try:
            await self._collection.insert_one(_document(account))
        except DuplicateKeyError:
            stored = await self.find(account.client_id, account.name)
            # The driver repeats an insert by itself after a cut connection.
            return stored is not None and stored.id == account.id
        return True

    async def replace(self, account: ProviderAccount, *, seen: int) -> ProviderAccount | None:
        """Let the account be this instead, if its version is still `seen`."""
        fields = _document(account)
        del fields["_id"]
        document = await self._collection.find_one_and_update(
            {"_id": account.id, "client_id": account.client_id, "version": seen},
            {"$set": fields},
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else _account(document)

    async def delete(self, owner: Owner, name: str, *, seen: int) -> bool:
        """Take an account away, if its version is still `seen`."""
        query = {"client_id": owner, "name": name, "version": seen}
        return (await self._collection.delete_one(query)).deleted_count == 1

    async def find(self, owner: Owner, name: str) -> ProviderAccount | None:
        """One account."""
        document = await self._collection.find_one({"client_id": owner, "name": name})
        return None if document is None else _account(document)

    async def count(self, owner: Owner) -> int:
        """How many accounts an owner has."""
        return await self._collection.count_documents({"client_id": owner})

    async def page(self, owner: Owner, *, after: str | None, limit: int) -> list[ProviderAccount]:
        """Accounts by name."""
        query: Document = {"client_id": owner}
        if after is not None:
            query["name"] = {"$gt": after}
        cursor = self._collection.find(query).sort("name", 1).limit(limit)
        return [_account(document) async for document in cursor]

    async def across_clients(self, client_ids: Sequence[ClientId]) -> list[ProviderAccount]:
        """The accounts of these clients, and the platform's, each owner's by name."""
        query = {"client_id": {"$in": [None, *client_ids]}}
        cursor = self._collection.find(query).sort([("client_id", 1), ("name", 1)])
        return [_account(document) async for document in cursor]

    async def page_across_clients(
        self, *, after: bytes | None, limit: int
    ) -> list[ProviderAccount]:
        """All accounts, by their ids."""
        query: Document = {} if after is None else {"_id": {"$gt": after}}
        cursor = self._collection.find(query).sort("_id", 1).limit(limit)
        return [_account(document) async for document in cursor]


def _document(account: ProviderAccount) -> Document:
    return {
        "_id": account.id,
        "client_id": account.client_id,
        "name": account.name,
        "kind": account.kind,
        "settings": dict(account.settings),
        "secrets": dict(account.secrets),
        "secrets_set_at": dict(account.secrets_set_at),
        "enabled": account.is_enabled,
        "rate_per_s": account.rate_per_s,
        "version": account.version,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
    }


def _account(document: Document) -> ProviderAccount:
    created_at: datetime = document["created_at"]
    return ProviderAccount(
        id=document["_id"],
        client_id=document["client_id"],
        name=document["name"],
        kind=document["kind"],
        settings=document["settings"],
        secrets=document["secrets"],
        # Accounts from before this field have none.
        secrets_set_at=document.get("secrets_set_at", {}),
        is_enabled=document["enabled"],
        rate_per_s=document.get("rate_per_s"),
        version=document["version"],
        created_at=created_at,
        updated_at=document["updated_at"],
    )
