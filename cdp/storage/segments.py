"""`segments` and `segment_assignments`."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from cdp.domain.ids import ClientId
from cdp.domain.segment import Assignment, AssignmentKey, Segment
from cdp.storage.database import Database, Document, repository


@repository
class Segments:
    """Segments of one client at a time; a name is there once."""

    def __init__(self, database: Database) -> None:
        self._collection = database["segments"]

    async def insert(self, segment: Segment) -> bool:
        """Store a new segment; whether there was none of its name."""
        try:
            await self._collection.insert_one(_document(segment))
        except DuplicateKeyError:
            # The driver repeats an insert by itself after a cut connection.
            return await self.find(segment.client_id, segment.name) == segment
        return True

    async def describe(
        self, client_id: ClientId, name: str, description: str, *, seen: int, at: datetime
    ) -> Segment | None:
        """Give it another description, if its version is still `seen`."""
        document = await self._collection.find_one_and_update(
            {"client_id": client_id, "name": name, "version": seen},
            {"$set": {"description": description, "updated_at": at, "version": seen + 1}},
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else _segment(document)

    async def find(self, client_id: ClientId, name: str) -> Segment | None:
        """One segment."""
        document = await self._collection.find_one({"client_id": client_id, "name": name})
        return None if document is None else _segment(document)

    async def count(self, client_id: ClientId) -> int:
        """How many a client has."""
        return await self._collection.count_documents({"client_id": client_id})

    async def page(self, client_id: ClientId, *, after: str | None, limit: int) -> list[Segment]:
        """Segments in the order of their names."""
        query: Document = {"client_id": client_id}
        if after is not None:
            query["name"] = {"$gt": after}
        cursor = self._collection.find(query).sort("name", 1).limit(limit)
        return [_segment(document) async for document in cursor]

    async def delete(self, client_id: ClientId, name: str, *, seen: int) -> bool:
        """Take it away, if its version is still `seen`."""
        query = {"client_id": client_id, "name": name, "version": seen}
        return (await self._collection.delete_one(query)).deleted_count == 1


@repository
class SegmentAssignments:
    """Which template a segment gets; a unique index keeps it to one for channel and campaign."""

    def __init__(self, database: Database) -> None:
        self._collection = database["segment_assignments"]

    async def put(self, assignment: Assignment) -> None:
        """Assign a template, in place of one that was assigned before."""
        # Of two that insert at once MongoDB itself lets the second update: the query names exactly
        # the fields of the unique index.
        change = {"template": assignment.template, "assigned_at": assignment.assigned_at}
        await self._collection.update_one(_key(assignment.key), {"$set": change}, upsert=True)

    async def take_back(self, assignment: Assignment) -> None:
        """Undo this very assignment; what was assigned in its place since then stays."""
        query = {"template": assignment.template, "assigned_at": assignment.assigned_at}
        await self._collection.delete_one(_key(assignment.key) | query)

    async def delete(self, key: AssignmentKey) -> bool:
        """Take an assignment away; whether there was one."""
        return (await self._collection.delete_one(_key(key))).deleted_count == 1

    async def of_segments(self, client_id: ClientId, names: Sequence[str]) -> list[Assignment]:
        """All assignments of these segments."""
        query = {"client_id": client_id, "segment": {"$in": list(names)}}
        cursor = self._collection.find(query).sort(
            [("segment", 1), ("channel", 1), ("campaign", 1)]
        )
        return [_assignment(document) async for document in cursor]

    async def of_campaign(
        self, client_id: ClientId, campaign: str, *, limit: int
    ) -> list[Assignment]:
        """The assignments that are made for one campaign, by segment."""
        query = {"client_id": client_id, "campaign": campaign}
        cursor = self._collection.find(query).sort([("segment", 1), ("channel", 1)]).limit(limit)
        return [_assignment(document) async for document in cursor]

    async def that_may_count(
        self, wanted: Iterable[AssignmentKey]
    ) -> dict[AssignmentKey, Assignment]:
        """For each key its own assignment, and the one of its segment for all campaigns."""
        segments: dict[tuple[ClientId, str, str | None], set[str]] = {}
        for key in wanted:
            for campaign in (key.campaign, None):
                segments.setdefault((key.client_id, key.channel, campaign), set()).add(key.segment)
        if not segments:
            return {}
        ranges = [
            {
                "client_id": client_id,
                "segment": {"$in": sorted(names)},
                "channel": channel,
                "campaign": campaign,
            }
            for (client_id, channel, campaign), names in segments.items()
        ]
        found = [_assignment(d) async for d in self._collection.find({"$or": ranges})]
        return {assignment.key: assignment for assignment in found}

    async def of_template(
        self, client_id: ClientId, template: str, *, limit: int
    ) -> list[Assignment]:
        """Some of the assignments of a template."""
        query = {"client_id": client_id, "template": template}
        return [_assignment(d) async for d in self._collection.find(query).limit(limit)]


def _document(segment: Segment) -> Document:
    return {
        "client_id": segment.client_id,
        "name": segment.name,
        "description": segment.description,
        "version": segment.version,
        "created_at": segment.created_at,
        "updated_at": segment.updated_at,
    }


def _segment(document: Document) -> Segment:
    return Segment(
        client_id=document["client_id"],
        name=document["name"],
        description=document["description"],
        version=document["version"],
        created_at=document["created_at"],
        updated_at=document["updated_at"],
    )


def _key(key: AssignmentKey) -> Document:
    # The campaign with its null, unlike other documents: it is part of the unique index.
    return {
        "client_id": key.client_id,
        "segment": key.segment,
        "channel": key.channel,
        "campaign": key.campaign,
    }


def _assignment(document: Document) -> Assignment:
    return Assignment(
        key=AssignmentKey(
            client_id=document["client_id"],
            segment=document["segment"],
            channel=document["channel"],
            campaign=document["campaign"],
        ),
        template=document["template"],
        assigned_at=document["assigned_at"],
    )
