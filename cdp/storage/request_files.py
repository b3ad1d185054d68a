"""`files`: files of requests, and `file_digests`: what came lately, by what it holds."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from pymongo.errors import DuplicateKeyError

from cdp.domain.ids import EPOCH, ClientId
from cdp.domain.request_file import (
    Checkpoint,
    FileCounts,
    FileSource,
    FileState,
    Incoming,
    RequestFile,
)
from cdp.storage.codec import present
from cdp.storage.database import Database, Document, repository


@repository
class RequestFiles:
    """One document for each file. Whoever changes one must have read its newest version."""

    def __init__(self, database: Database) -> None:
        self._collection = database["files"]
        self._digests = database["file_digests"]

    async def insert(self, file: RequestFile) -> None:
        """Store a new file."""
        free: Document = {"holder": None, "lease_until": EPOCH, "turned_at": file.created_at}
        try:
            await self._collection.insert_one({**_document(file), **free})
        except DuplicateKeyError:
            # The driver repeats an insert by itself after a cut connection; or another file is of
            # the same object, which `of_object` finds.
            return

    async def replace(self, file: RequestFile, *, holder: str | None = None) -> bool:
        """Let it be this, if nobody has changed it since; whether nobody had.

        Args:
            file: with a version one above the one that was read.
            holder: who works on it, where that is why it changes: it must hold it still.
        """
        query: Document = {
            "_id": file.id,
            "client_id": file.client_id,
            "version": file.version - 1,
        }
        if holder is not None:
            query |= {"holder": holder}
        fields = _document(file)
        gone = {name: "" for name in _OPTIONAL if name not in fields}
        update: Document = {"$set": fields, **({"$unset": gone} if gone else {})}
        if (await self._collection.update_one(query, update)).matched_count:
            return True
        # It may have been ours, and the answer was lost.
        stored = await self.find(file.client_id, file.id)
        return stored == file

    async def find(self, client_id: ClientId, file_id: bytes) -> RequestFile | None:
        """One file."""
        document = await self._collection.find_one({"_id": file_id, "client_id": client_id})
        return None if document is None else _file(document)

    async def page(
        self,
        client_id: ClientId,
        *,
        state: FileState | None = None,
        source: FileSource | None = None,
        before: bytes | None,
        limit: int,
    ) -> list[RequestFile]:
        """The newest first, of those in a state and from a source where one is named."""
        query: Document = {"client_id": client_id}
        if state is not None:
            query["state"] = state.value
        if source is not None:
            query["source"] = source.value
        if before is not None:
            query["_id"] = {"$lt": before}
        cursor = self._collection.find(query).sort("_id", -1).limit(limit)
        return [_file(document) async for document in cursor]

    async def existing_across_clients(self, file_ids: Sequence[bytes]) -> set[bytes]:
        """Which of these ids are files."""
        query = {"_id": {"$in": list(file_ids)}}
        return {document["_id"] async for document in self._collection.find(query, {"_id": 1})}

    async def of_object(self, client_id: ClientId, *, key: str, version: str) -> RequestFile | None:
        """The file that this object in the store is, or was."""
        query = {"client_id": client_id, "incoming.key": key, "incoming.version": version}
        document = await self._collection.find_one(query)
        return None if document is None else _file(document)

    async def awaited(self, client_id: ClientId, *, limit: int) -> int:
        """How many files a client has announced that have not come; counted up to `limit`."""
        query = {"client_id": client_id, "state": FileState.AWAITED.value}
        # Named, since with few files the planner finds the index of all of them as good.
        return await self._collection.count_documents(query, limit=limit, hint="awaited")

    async def overdue_across_clients(self, *, now: datetime, limit: int) -> list[RequestFile]:
        """Files that are awaited no longer, the earliest first."""
        query = {"state": FileState.AWAITED.value, "incoming.until": {"$lt": now}}
        cursor = self._collection.find(query).sort("incoming.until", 1).limit(limit)
        return [_file(document) async for document in cursor]

    async def receiving_across_clients(self, *, limit: int) -> list[RequestFile]:
        """Files that somebody should take in and nobody does, the longest waiting first."""
        query = {
            "state": FileState.RECEIVING.value,
            "$expr": {"$lt": ["$lease_until", "$$NOW"]},
        }
        cursor = self._collection.find(query).sort([("lease_until", 1), ("_id", 1)]).limit(limit)
        return [_file(document) async for document in cursor]

    async def note_digest(
        self, file: RequestFile, *, at: datetime, since: datetime, insist: bool
    ) -> tuple[bytes, datetime] | None:
        """Keep that these bytes have come; the file that brought them lately, and when, if one did.

        Args:
            file: the one that brings them.
            at: now.
            since: what came before this counts no longer.
            insist: the newest counts, whatever came before.
        """
        key = {"_id": file.client_id + file.digest}
        mine = {"$set": {"file_id": file.id, "at": at}}
        outdated = {} if insist else {"$or": [{"at": {"$lt": since}}, {"file_id": file.id}]}
        try:
            await self._digests.update_one(key | outdated, mine, upsert=True)
        except DuplicateKeyError:
            stored = await self._digests.find_one(key)
            return None if stored is None else (stored["file_id"], stored["at"])
        return None

    async def forget_digest(self, file: RequestFile) -> None:
        """The same bytes may come again: this file has ended without having been sent."""
        await self._digests.delete_one({"_id": file.client_id + file.digest, "file_id": file.id})


_OPTIONAL = ("incoming", "copy", "reason", "detail", "checked", "started_at", "ended_at")


def _document(file: RequestFile) -> Document:
    return present(
        _id=file.id,
        client_id=file.client_id,
        name=file.name,
        source=file.source.value,
        size=file.size,
        digest=file.digest,
        options=dict(file.options),
        strict=file.is_strict,
        incoming=None if file.incoming is None else present(**asdict(file.incoming)),
        copy=file.copy,
        state=file.state.value,
        reason=file.reason,
        detail=file.detail,
        checkpoint=_checkpoint_document(file.checkpoint),
        checked=None if file.checked is None else _checkpoint_document(file.checked),
        created_at=file.created_at,
        started_at=file.started_at,
        ended_at=file.ended_at,
        updated_at=file.updated_at,
        tries=file.tries,
        outages=file.outages,
        batch_open=file.ended_early or None,
        version=file.version,
    )


def _checkpoint_document(checkpoint: Checkpoint) -> Document:
    return {
        **asdict(checkpoint.counts),
        "parts": checkpoint.parts,
        "position": checkpoint.position,
    }


def _checkpoint(document: Document) -> Checkpoint:
    return Checkpoint(
        counts=FileCounts(
            rows=document["rows"], accepted=document["accepted"], rejected=document["rejected"]
        ),
        parts=document["parts"],
        position=document["position"],
    )


def _file(document: Document) -> RequestFile:
    checked, incoming = document.get("checked"), document.get("incoming")
    return RequestFile(
        id=document["_id"],
        client_id=document["client_id"],
        name=document["name"],
        source=FileSource(document["source"]),
        size=document["size"],
        digest=document["digest"],
        options=document.get("options", {}),
        is_strict=document["strict"],
        incoming=None if incoming is None else Incoming(**incoming),
        copy=document.get("copy"),
        state=FileState(document["state"]),
        reason=document.get("reason"),
        detail=document.get("detail"),
        checkpoint=_checkpoint(document["checkpoint"]),
        checked=None if checked is None else _checkpoint(checked),
        created_at=document["created_at"],
        started_at=document.get("started_at"),
        ended_at=document.get("ended_at"),
        updated_at=document["updated_at"],
        tries=document.get("tries", 0),
        outages=document.get("outages", 0),
        version=document["version"],
    )
