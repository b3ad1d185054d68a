"""`senders`: who a client's communications come from."""

import contextlib
from collections.abc import Sequence
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from cdp.domain.ids import ClientId
from cdp.domain.sender import Identity, Sender
from cdp.storage.codec import present
from cdp.storage.database import Database, Document, repository


@repository
class Senders:
    """One document for each sender; of a client's, each name and each channel's default is one."""

    def __init__(self, database: Database) -> None:
        self._collection = database["senders"]

    async def insert(self, sender: Sender) -> bool:
        """Store a new sender; whether nothing of this name, nor another default, came before."""
        await self._make_room(sender)
        try:
            await self._collection.insert_one(_document(sender))
        except DuplicateKeyError:
            # The driver repeats an insert by itself after a cut connection.
            stored = await self.find(sender.client_id, sender.name)
            return stored is not None and stored.id == sender.id
        return True

    async def replace(self, sender: Sender, *, seen: int) -> bool:
        """Let a sender be this, if its version is still `seen`, and no other became the default."""
        before = await self._make_room(sender)
        query = {"_id": sender.id, "client_id": sender.client_id, "version": seen}
        try:
            result = await self._collection.replace_one(query, _document(sender))
        except DuplicateKeyError:
            return False
        if not result.matched_count and before is not None:
            await self._give_back(before)
        return result.matched_count == 1

    async def _make_room(self, sender: Sender) -> Document | None:
        """One that is to be the default takes the place of the one that is, which is returned."""
        found = None
        if sender.is_default:
            before = {
                "client_id": sender.client_id,
                "channel": sender.channel,
                "is_default": True,
                "_id": {"$ne": sender.id},
            }
            change = {
                "$set": {"is_default": False, "updated_at": sender.updated_at},
                "$inc": {"version": 1},
            }
            found = await self._collection.find_one_and_update(before, change)
        return found

    async def _give_back(self, before: Document) -> None:
        """The default is what it was, if nobody else has become it: a channel never loses it."""
        query = {"_id": before["_id"], "client_id": before["client_id"]}
        change = {"$set": {"is_default": True}, "$inc": {"version": 1}}
        with contextlib.suppress(DuplicateKeyError):
            await self._collection.update_one(query, change)

    async def find(self, client_id: ClientId, name: str) -> Sender | None:
        """One sender."""
        document = await self._collection.find_one({"client_id": client_id, "name": name})
        return None if document is None else _sender(document)

    async def has_default(self, client_id: ClientId, channel: str) -> bool:
        """Whether a channel has a default."""
        query = {"client_id": client_id, "channel": channel, "is_default": True}
        return await self._collection.find_one(query, {"_id": 1}) is not None

    async def count(self, client_id: ClientId) -> int:
        """How many senders a client has."""
        return await self._collection.count_documents({"client_id": client_id})

    async def page(
        self, client_id: ClientId, *, channel: str | None, after: str | None, limit: int
    ) -> list[Sender]:
        """A client's senders by name; only those of the channel, if one is named."""
        query: Document = {"client_id": client_id}
        if channel is not None:
            query["channel"] = channel
        if after is not None:
            query["name"] = {"$gt": after}
        cursor = self._collection.find(query).sort("name", 1).limit(limit)
        return [_sender(document) async for document in cursor]

    async def delete(self, client_id: ClientId, name: str, *, seen: int) -> bool:
        """Take a sender away, if its version is still `seen`."""
        query = {"client_id": client_id, "name": name, "version": seen}
        return (await self._collection.delete_one(query)).deleted_count == 1

    async def across_clients(self, ids: Sequence[ClientId]) -> dict[ClientId, list[Sender]]:
        """All senders of these clients."""
        found: dict[ClientId, list[Sender]] = {client_id: [] for client_id in ids}
        async for document in self._collection.find({"client_id": {"$in": list(ids)}}):
            sender = _sender(document)
            found[sender.client_id].append(sender)
        return found


def _document(sender: Sender) -> Document:
    identity = sender.identity
    return {
        "_id": sender.id,
        "client_id": sender.client_id,
        "name": sender.name,
        "channel": sender.channel,
        "is_default": sender.is_default,
        "version": sender.version,
        "created_at": sender.created_at,
        "updated_at": sender.updated_at,
        **present(
            address=identity.address or None,
            display_name=identity.display_name or None,
            reply_to=identity.reply_to,
            dkim_domain=identity.dkim_domain,
        ),
    }


def _sender(document: Document) -> Sender:
    created_at: datetime = document["created_at"]
    return Sender(
        id=document["_id"],
        client_id=document["client_id"],
        name=document["name"],
        identity=Identity(
            channel=document["channel"],
            address=document.get("address", ""),
            display_name=document.get("display_name", ""),
            reply_to=document.get("reply_to"),
            dkim_domain=document.get("dkim_domain"),
        ),
        is_default=document["is_default"],
        version=document["version"],
        created_at=created_at,
        updated_at=document["updated_at"],
    )
