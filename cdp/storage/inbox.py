"""`inbox`: in-app messages, one document for each, by client and user.

An entry stands where it arrived (`created_at`, then `_id`): its id is older where the message was
scheduled. `archived` and `unread` say again what the times say, for the sake of the indexes.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cdp.domain.ids import ResultId
from cdp.domain.inbox import InboxPosition, InboxUser, Mark
from cdp.errors import OutcomeUnknown
from cdp.ports.inbox import InboxEntry, InboxUnavailable
from cdp.storage.codec import present
from cdp.storage.database import Database, Document, insert_new, repository

UNREAD_COUNTED_MAX: Final = 1_000
"""Beyond that many nobody counts."""

_FOR_EVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
_MISSING: Final[Mapping[str, Any]] = {"$exists": False}
_OPEN_TO: Final[Mapping[Mark, Mapping[str, Any]]] = {
    Mark.SEEN: {"seen_at": _MISSING},
    Mark.READ: {"read_at": _MISSING},
    Mark.ARCHIVED: {"archived": False},
    Mark.UNARCHIVED: {"archived": True},
}
"""Which entries a mark changes."""

_AWAIT_MS: Final = 1_000
_CHANGES: Final[Sequence[Document]] = (
    {"$match": {"operationType": {"$in": ["insert", "update"]}}},
    {
        "$project": {
            "operationType": 1,
            "clusterTime": 1,
            "fullDocument._id": 1,
            "fullDocument.client_id": 1,
            "fullDocument.user": 1,
        }
    },
)


@repository
class InboxEntries:
    """Entries of one user at a time. `Inbox` for the provider."""

    def __init__(self, database: Database) -> None:
        self._collection = database["inbox"]

    async def put(self, entries: Sequence[InboxEntry]) -> None:
        """See `Inbox.put`."""
        try:
            await insert_new(self._collection, [_document(entry) for entry in entries])
        except OutcomeUnknown:
            raise InboxUnavailable from None

    async def page(
        self,
        user: InboxUser,
        *,
        unread: bool,
        archived: bool,
        before: InboxPosition | None,
        limit: int,
        now: datetime,
    ) -> list[InboxEntry]:
        """The newest entries first: those that are not archived, or those that are."""
        query: dict[str, Any] = _of(user) | {"visible_until": {"$gt": now}}
        if unread and archived:
            query |= {"archived": True, "read_at": _MISSING}
        elif unread:
            query["unread"] = True
        else:
            query["archived"] = archived
        if before is not None:
            query |= _up_to(before, itself=False)
        cursor = self._collection.find(query).sort([("created_at", -1), ("_id", -1)]).limit(limit)
        return [_entry(document) async for document in cursor]

    async def arrived_since(
        self, user: InboxUser, since: datetime, *, limit: int, now: datetime
    ) -> list[InboxEntry]:
        """What has arrived since then and is not archived, the oldest first."""
        query = _of(user) | {"archived": False, "visible_until": {"$gt": now}}
        query["created_at"] = {"$gte": since}
        cursor = self._collection.find(query).sort([("created_at", 1), ("_id", 1)]).limit(limit)
        return [_entry(document) async for document in cursor]

    async def find(self, user: InboxUser, ids: Sequence[ResultId]) -> list[InboxEntry]:
        """These entries, the oldest first."""
        query = _of(user) | {"_id": {"$in": list(ids)}}
        found = [_entry(document) async for document in self._collection.find(query)]
        return sorted(found, key=lambda entry: (entry.created_at, entry.result_id))

    async def unread(self, user: InboxUser, *, now: datetime) -> int:
        """How many entries are neither read nor archived, up to `UNREAD_COUNTED_MAX`."""
        query = _of(user) | {"unread": True, "visible_until": {"$gt": now}}
        return await self._collection.count_documents(query, limit=UNREAD_COUNTED_MAX)

    async def ids_up_to(
        self, user: InboxUser, last: InboxPosition, mark: Mark, *, limit: int
    ) -> list[ResultId]:
        """The newest of the entries up to `last`, itself included, that this mark would change."""
        # One that is read needs no look: who has read it has seen it.
        query = _of(user) | ({"archived": False} if mark is Mark.ARCHIVED else {"unread": True})
        query |= dict(_OPEN_TO[mark]) | _up_to(last, itself=True)
        cursor = self._collection.find(query, {"_id": 1})
        cursor = cursor.sort([("created_at", -1), ("_id", -1)]).limit(limit)
        return [document["_id"] async for document in cursor]

    async def known(self, user: InboxUser, ids: Sequence[ResultId]) -> list[ResultId]:
        """Those of these entries that there are, in this order."""
        query = _of(user) | {"_id": {"$in": list(ids)}}
        found = {document["_id"] async for document in self._collection.find(query, {"_id": 1})}
        return [each for each in dict.fromkeys(ids) if each in found]

    async def mark(
        self, user: InboxUser, ids: Sequence[ResultId], mark: Mark, at: datetime
    ) -> None:
        """Note this of these entries where it is not noted yet."""
        query = _of(user) | {"_id": {"$in": list(ids)}} | dict(_OPEN_TO[mark])
        await self._collection.update_many(query, _change(mark, at))

    async def watch_across_clients(
        self,
        tell: Callable[[InboxUser, ResultId | None], None],
        *,
        heard: Callable[[datetime], None],
        now: Callable[[], datetime],
    ) -> None:
        """Tell whose inbox changes, for as long as MongoDB is there.

        Args:
            tell: with the id of a new entry, or None for any other change.
            heard: called with a time up to which all changes since the first such call were told:
                at the beginning, after each change, and about once a second where there is none.
            now: the time.
        """
        begun_at = now()
        async with await self._collection.watch(
            list(_CHANGES), full_document="updateLookup", max_await_time_ms=_AWAIT_MS
        ) as changes:
            heard(begun_at)
            while True:
                asked_at = now()
                change = await changes.try_next()
                if change is None:
                    heard(asked_at)
                    continue
                document = change.get("fullDocument")
                if document is not None:
                    user = InboxUser(client_id=document["client_id"], user=document["user"])
                    tell(user, document["_id"] if change["operationType"] == "insert" else None)
                heard(change["clusterTime"].as_datetime())


def _of(user: InboxUser) -> dict[str, Any]:
    return {"client_id": user.client_id, "user": user.user}


def _up_to(last: InboxPosition, *, itself: bool) -> dict[str, Any]:
    # The first condition bounds the walk; the second takes out those of the same moment.
    same = "$lte" if itself else "$lt"
    return {
        "created_at": {"$lte": last.at},
        "$or": [{"created_at": {"$lt": last.at}}, {"_id": {same: last.result_id}}],
    }


def _change(mark: Mark, at: datetime) -> dict[str, Any] | list[dict[str, Any]]:
    match mark:
        case Mark.SEEN:
            return {"$set": {"seen_at": at}}
        case Mark.READ:
            return {"$set": {"read_at": at}, "$unset": {"unread": ""}}
        case Mark.ARCHIVED:
            return {"$set": {"archived_at": at, "archived": True}, "$unset": {"unread": ""}}
        case Mark.UNARCHIVED:
            was_read = {"$ne": [{"$type": "$read_at"}, "missing"]}
            unread = {"$cond": [was_read, "$$REMOVE", True]}
            return [{"$set": {"archived": False, "unread": unread}}, {"$unset": "archived_at"}]


def _document(entry: InboxEntry) -> Document:
    return present(
        _id=entry.result_id,
        client_id=entry.client_id,
        user=entry.user,
        title=entry.title,
        body=entry.body,
        action_url=entry.action_url,
        action_label=entry.action_label,
        data=entry.data,
        created_at=entry.created_at,
        expires_at=entry.expires_at,
        visible_until=entry.expires_at or _FOR_EVER,
        archived=False,
        unread=True,
    )


def _entry(document: Document) -> InboxEntry:
    return InboxEntry(
        result_id=document["_id"],
        client_id=document["client_id"],
        user=document["user"],
        title=document.get("title", ""),
        body=document.get("body", ""),
        action_url=document.get("action_url"),
        action_label=document.get("action_label"),
        data=document.get("data", {}),
        created_at=document["created_at"],
        expires_at=document.get("expires_at"),
        seen_at=document.get("seen_at"),
        read_at=document.get("read_at"),
        archived_at=document.get("archived_at"),
    )
