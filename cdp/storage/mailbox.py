"""`mailbox`: what the embedded mailbox got. It replaces the world outside, for people and tests.

A message larger than a document may be is kept in several: the others have an embedded document
for `_id`, so that no query over ids of messages meets them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collation import Collation
from pymongo.errors import PyMongoError

from cdp.storage.bootstrap import BootstrapError
from cdp.storage.database import Database, Document, repository

COLLECTION: Final = "mailbox"
KEPT_S: Final = 30 * 24 * 3600
"""After a month a message goes, so that a forgotten mailbox does not fill the disk."""
CHUNK_BYTES: Final = 12 * 1024 * 1024
"""Of a message in one document, of which MongoDB takes 16 MiB."""

_BEFORE_ALL: Final = bytes(1)
# Addresses are compared without regard to case.
_ADDRESSES: Final = Collation(locale="en", strength=2)
_INDEXES: Final = [
    IndexModel([("received_at", ASCENDING)], name="expiry", expireAfterSeconds=KEPT_S),
    # One recipient's messages, the newest first.
    IndexModel(
        [("rcpt_to", ASCENDING), ("_id", DESCENDING)], name="recipient", collation=_ADDRESSES
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxEntry:
    """One message's envelope and the two headers that a list shows."""

    id: bytes
    """A UUIDv7: it sorts by the time of receipt."""
    received_at: datetime
    mail_from: str
    rcpt_to: tuple[str, ...]
    message_id: str
    subject: str
    size: int
    channel: str = "email"


async def prepare_mailbox(uri: str) -> None:
    """Create the collection's indexes; the mailbox's own user may not.

    Raises:
        BootstrapError: MongoDB refused it.
    """
    database = Database(uri, component="keeper")
    try:
        await database[COLLECTION].create_indexes(_INDEXES)
    except PyMongoError as error:
        raise BootstrapError(str(error)) from error
    finally:
        await database.close()


@repository
class MailboxMessages:
    """The messages that the mailbox keeps."""

    def __init__(self, database: Database) -> None:
        self._collection = database[COLLECTION]

    async def add(self, messages: Sequence[tuple[MailboxEntry, bytes]]) -> None:
        """Keep messages, each with its bytes. When it returns, they are durable."""
        documents: list[Document] = []
        for entry, raw in messages:
            documents.extend(_documents(entry, raw))
        await self._collection.insert_many(documents, ordered=False)

    async def newest(
        self, *, to: str | None, before: bytes | None, limit: int
    ) -> list[MailboxEntry]:
        """The newest messages, or those that came before one of them.

        Args:
            to: only those for this recipient.
            before: the id of the last one that the caller has.
            limit: how many at most.
        """
        query: dict[str, Any] = {"_id": {"$lt": before} if before else {"$gt": _BEFORE_ALL}}
        if to is not None:
            query["rcpt_to"] = to
        cursor = self._collection.find(query, {"raw": False}).sort("_id", DESCENDING).limit(limit)
        if to is not None:
            cursor = cursor.collation(_ADDRESSES)
        return [_entry(document) async for document in cursor]

    async def get(self, message_id: bytes) -> tuple[MailboxEntry, bytes] | None:
        """One message with its bytes."""
        document = await self._collection.find_one({"_id": message_id})
        if document is None:
            return None
        parts = [document["raw"]]
        for number in range(1, document["chunks"]):
            chunk = await self._collection.find_one({"_id": {"of": message_id, "n": number}})
            parts.append(chunk["raw"] if chunk else b"")
        return _entry(document), b"".join(parts)

    async def count(self, *, to: str | None) -> int:
        """How many messages there are, exactly."""
        query: dict[str, Any] = {"_id": {"$gt": _BEFORE_ALL}}
        if to is None:
            return await self._collection.count_documents(query, hint="_id_")
        return await self._collection.count_documents({"rcpt_to": to}, collation=_ADDRESSES)


def _documents(entry: MailboxEntry, raw: bytes) -> list[Document]:
    chunks = [raw[start : start + CHUNK_BYTES] for start in range(0, len(raw), CHUNK_BYTES)]
    others = [
        {"_id": {"of": entry.id, "n": number}, "received_at": entry.received_at, "raw": chunk}
        for number, chunk in enumerate(chunks[1:], start=1)
    ]
    head = {
        "_id": entry.id,
        "received_at": entry.received_at,
        "mail_from": entry.mail_from,
        "rcpt_to": list(entry.rcpt_to),
        "message_id": entry.message_id,
        "subject": entry.subject,
        "size": entry.size,
        "channel": entry.channel,
        "chunks": max(len(chunks), 1),
        "raw": chunks[0] if chunks else b"",
    }
    # The message itself last: who finds it finds all of it.
    return [*others, head]


def _entry(document: Document) -> MailboxEntry:
    return MailboxEntry(
        id=document["_id"],
        received_at=document["received_at"],
        mail_from=document["mail_from"],
        rcpt_to=tuple(document["rcpt_to"]),
        message_id=document["message_id"],
        subject=document["subject"],
        size=document["size"],
        channel=document.get("channel", "email"),
    )
