"""`sftp_accounts`: who may log in to the SFTP gateway."""

from collections.abc import Collection as Names

from pymongo.errors import DuplicateKeyError

from cdp.domain.ids import ClientId
from cdp.domain.sftp_account import PublicKey, SftpAccount
from cdp.storage.database import Database, Document, repository


@repository
class SftpAccounts:
    """One document for each account; a login is one over all clients."""

    def __init__(self, database: Database) -> None:
        self._collection = database["sftp_accounts"]

    async def insert(self, account: SftpAccount) -> bool:
        """Store a new account; whether nobody had the name before."""
        try:
            await self._collection.insert_one(_document(account))
        except DuplicateKeyError:
            # The driver repeats an insert by itself after a cut connection.
            stored = await self.across_clients([account.name])
            return [each.id for each in stored] == [account.id]
        return True

    async def replace(self, account: SftpAccount, *, seen: int) -> bool:
        """Let an account be this, if its version is still `seen`."""
        query = {"_id": account.id, "client_id": account.client_id, "version": seen}
        return (await self._collection.replace_one(query, _document(account))).matched_count == 1

    async def any_across_clients(self) -> bool:
        """Whether anybody may log in at all."""
        return await self._collection.find_one({}, {"_id": 1}) is not None

    async def find(self, client_id: ClientId, name: str) -> SftpAccount | None:
        """One account."""
        document = await self._collection.find_one({"client_id": client_id, "name": name})
        return None if document is None else _account(document)

    async def count(self, client_id: ClientId) -> int:
        """How many accounts a client has."""
        return await self._collection.count_documents({"client_id": client_id})

    async def page(
        self, client_id: ClientId, *, after: str | None, limit: int
    ) -> list[SftpAccount]:
        """A client's accounts by name."""
        query: Document = {"client_id": client_id}
        if after is not None:
            query["name"] = {"$gt": after}
        cursor = self._collection.find(query).sort("name", 1).limit(limit)
        return [_account(document) async for document in cursor]

    async def delete(self, client_id: ClientId, name: str, *, seen: int) -> bool:
        """Take an account away, if its version is still `seen`."""
        query = {"client_id": client_id, "name": name, "version": seen}
        return (await self._collection.delete_one(query)).deleted_count == 1

    async def across_clients(self, names: Names[str]) -> list[SftpAccount]:
        """Those that have one of these names, whoever they belong to."""
        cursor = self._collection.find({"name": {"$in": list(names)}})
        return [_account(document) async for document in cursor]


def _document(account: SftpAccount) -> Document:
    return {
        "_id": account.id,
        "client_id": account.client_id,
        "name": account.name,
        "keys": [{"algorithm": key.algorithm, "blob": key.blob} for key in account.keys],
        "defaults": dict(account.defaults),
        "enabled": account.is_enabled,
        "quota_bytes": account.quota_bytes,
        "quota_files": account.quota_files,
        "version": account.version,
        "created_at": account.created_at,
        "updated_at": account.updated_at,
    }


def _account(document: Document) -> SftpAccount:
    return SftpAccount(
        id=document["_id"],
        client_id=document["client_id"],
        name=document["name"],
        keys=tuple(
            PublicKey(algorithm=key["algorithm"], blob=key["blob"]) for key in document["keys"]
        ),
        defaults=document["defaults"],
        is_enabled=document["enabled"],
        quota_bytes=document["quota_bytes"],
        quota_files=document["quota_files"],
        version=document["version"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
    )
