"""Segments of a client and the templates that they get."""

from collections.abc import Container
from dataclasses import dataclass

from cdp.domain.ids import ClientId
from cdp.domain.segment import (
    ASSIGNMENTS_MAX,
    SEGMENTS_MAX,
    Assignment,
    AssignmentKey,
    Segment,
    assigned,
)
from cdp.errors import Conflict, Invalid, NotFound, PreconditionFailed
from cdp.ports.clock import Clock
from cdp.storage.segments import SegmentAssignments, Segments
from cdp.storage.templates import Templates

NAMED_MAX = 3
"""Users of a thing that a refusal to delete it names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """A segment with its assignments."""

    segment: Segment
    assignments: tuple[Assignment, ...]


class SegmentService:
    """Makes, changes and takes away segments and their assignments."""

    def __init__(
        self,
        *,
        segments: Segments,
        assignments: SegmentAssignments,
        templates: Templates,
        clock: Clock,
    ) -> None:
        self._segments = segments
        self._assignments = assignments
        self._templates = templates
        self._clock = clock

    async def put(
        self, client_id: ClientId, name: str, *, description: str, seen: Container[int] | None
    ) -> tuple[SegmentView, bool]:
        """Make a segment, or describe it anew; and whether it is new.

        Args:
            client_id: whose.
            name: which.
            description: for people.
            seen: versions that the caller knows; None makes or changes any.

        Raises:
            PreconditionFailed: there is none, or its version is another.
            Conflict: there are too many.
        """
        while True:
            stored = await self._segments.find(client_id, name)
            if seen is not None and (stored is None or stored.version not in seen):
                raise PreconditionFailed
            if stored is None:
                saved = await self._make(client_id, name, description)
            elif stored.description == description:
                saved = stored
            else:
                saved = await self._segments.describe(
                    client_id, name, description, seen=stored.version, at=self._clock.now()
                )
            # Else somebody was quicker: look again.
            if saved is not None:
                return await self._view(saved), stored is None

    async def _make(self, client_id: ClientId, name: str, description: str) -> Segment | None:
        if await self._segments.count(client_id) >= SEGMENTS_MAX:
            raise Conflict(f"There are at most {SEGMENTS_MAX:,} segments.")
        now = self._clock.now()
        made = Segment(
            client_id=client_id,
            name=name,
            description=description,
            version=1,
            created_at=now,
            updated_at=now,
        )
        return made if await self._segments.insert(made) else None

    async def get(self, client_id: ClientId, name: str) -> SegmentView:
        """A segment with its assignments.

        Raises:
            NotFound: there is none.
        """
        return await self._view(await self._found(client_id, name))

    async def page(
        self, client_id: ClientId, *, after: str | None, limit: int
    ) -> list[SegmentView]:
        """Segments in the order of their names."""
        segments = await self._segments.page(client_id, after=after, limit=limit)
        by_name: dict[str, list[Assignment]] = {segment.name: [] for segment in segments}
        for assignment in await self._assignments.of_segments(client_id, list(by_name)):
            by_name[assignment.key.segment].append(assignment)
        return [
            SegmentView(segment=segment, assignments=tuple(by_name[segment.name]))
            for segment in segments
        ]

    async def delete(self, client_id: ClientId, name: str, *, seen: Container[int] | None) -> None:
        """Take a segment away.

        Raises:
            NotFound: there is none.
            PreconditionFailed: its version is another.
            Conflict: templates are still assigned to it.
        """
        while True:
            stored = await self._found(client_id, name)
            if seen is not None and stored.version not in seen:
                raise PreconditionFailed
            users = await self._assignments.of_segments(client_id, [name])
            if users:
                raise Conflict(f"It still gets {_some([a.template for a in users])}.")
            # Else somebody was quicker: look again.
            if await self._segments.delete(client_id, name, seen=stored.version):
                return

    async def assignment_for(self, wanted: AssignmentKey) -> Assignment | None:
        """The assignment that counts for this segment, channel and campaign."""
        return assigned(await self._assignments.that_may_count([wanted]), wanted)

    async def assign(self, key: AssignmentKey, template: str) -> SegmentView:
        """Let a segment get this template, in place of the one that it got before.

        Raises:
            NotFound: there is no such segment.
            Invalid: there is no such template on this channel.
            Conflict: it has too many.
        """
        view = await self.get(key.client_id, key.segment)
        if len(view.assignments) >= ASSIGNMENTS_MAX and key not in {
            a.key for a in view.assignments
        }:
            raise Conflict(f"A segment has at most {ASSIGNMENTS_MAX:,} assignments.")
        await self._require_template(key, template)
        assignment = Assignment(key=key, template=template, assigned_at=self._clock.now())
        await self._assignments.put(assignment)
        try:
            # Either may have been taken away since it was looked at, by one who saw no assignment.
            # Who dies before this leaves one that shows in the segment and can be taken away there.
            await self._require_template(key, template)
            return await self.get(key.client_id, key.segment)
        except (Invalid, NotFound):
            await self._assignments.take_back(assignment)
            raise

    async def unassign(self, key: AssignmentKey) -> None:
        """Take an assignment away.

        Raises:
            NotFound: there is none.
        """
        if not await self._assignments.delete(key):
            raise NotFound

    async def _require_template(self, key: AssignmentKey, template: str) -> None:
        version = (await self._templates.current(key.client_id, [template])).get(template)
        if version is None:
            raise Invalid.at("/template", "unknown", f"There is no template named {template}.")
        if key.channel not in version.contents:
            there = ", ".join(version.contents)
            raise Invalid.at("/template", "other_channel", f"It has content for {there} only.")

    async def _found(self, client_id: ClientId, name: str) -> Segment:
        segment = await self._segments.find(client_id, name)
        if segment is None:
            raise NotFound
        return segment

    async def _view(self, segment: Segment) -> SegmentView:
        found = await self._assignments.of_segments(segment.client_id, [segment.name])
        return SegmentView(segment=segment, assignments=tuple(found))


def _some(names: list[str]) -> str:
    distinct = list(dict.fromkeys(names))
    rest = len(distinct) - NAMED_MAX
    more = f" and {rest:,} more" if rest > 0 else ""
    word = "template" if len(distinct) == 1 else "templates"
    return f"the {word} {', '.join(distinct[:NAMED_MAX])}{more}"
