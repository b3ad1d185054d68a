"""Templates of a client: every change is a new version, and a version never changes.

What may be saved is decided by the Message Service, the only place that compiles a template.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from cdp.domain.ids import ClientId, fresh_id, text_of
from cdp.domain.template import TemplateVersion
from cdp.errors import Conflict, FieldError, Invalid, NotFound, Overloaded
from cdp.ports.clock import Clock
from cdp.ports.handoff import WorkerLost
from cdp.ports.renderer import RenderFault, RenderOutcome, RenderRefusal
from cdp.storage.segments import SegmentAssignments
from cdp.storage.templates import Templates

USERS_NAMED_MAX: Final = 3


class TemplateEngine(Protocol):
    """The way to the Message Service."""

    async def check(self, parts: Mapping[str, str], key: str) -> RenderRefusal | None:
        """Why these parts can't be a template; None if they can.

        Raises:
            WorkerLost: the Message Service went away.
        """

    async def preview(
        self, parts: Mapping[str, str], key: str, context: Mapping[str, Any]
    ) -> RenderOutcome:
        """The parts, rendered with this context.

        Raises:
            WorkerLost: the Message Service went away.
        """


class TemplateService:
    """Saves, lists, renders and takes away templates, one client at a time."""

    def __init__(
        self,
        *,
        templates: Templates,
        assignments: SegmentAssignments,
        engine: TemplateEngine,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._templates = templates
        self._assignments = assignments
        self._engine = engine
        self._clock = clock
        self._random_bytes = random_bytes

    async def put(
        self, client_id: ClientId, name: str, *, channel: str, parts: Mapping[str, str]
    ) -> tuple[TemplateVersion, bool]:
        """Make these parts the current version.

        Returns:
            The version, and whether it is new: the parts of the current one make no second.

        Raises:
            Invalid: the Message Service refuses the template.
            Overloaded: the Message Service can't be asked.
        """
        current = (await self._templates.current(client_id, [name])).get(name)
        if current is not None and dict(current.parts) == dict(parts):
            return current, False
        now = self._clock.now()
        raw_id = fresh_id(now, self._random_bytes)
        try:
            refusal = await self._engine.check(parts, text_of(raw_id))
        except WorkerLost:
            raise Overloaded("The Message Service can't be asked right now.") from None
        if refusal is not None:
            raise _invalid(refusal)
        version = TemplateVersion(
            id=raw_id,
            client_id=client_id,
            name=name,
            version=await self._templates.next_number(client_id, name, channel),
            channel=channel,
            parts=dict(parts),
            created_at=now,
        )
        await self._templates.insert_version(version)
        return version, True

    async def get(
        self, client_id: ClientId, name: str, number: int | None = None
    ) -> TemplateVersion:
        """The current version, or the one of this number.

        Raises:
            NotFound: there is none.
        """
        if number is not None:
            version = await self._templates.version(client_id, name, number)
        else:
            version = (await self._templates.current(client_id, [name])).get(name)
        if version is None:
            raise NotFound
        return version

    async def versions(self, client_id: ClientId, name: str) -> list[TemplateVersion]:
        """All versions, the newest first.

        Raises:
            NotFound: there never was a template of this name.
        """
        versions = await self._templates.versions(client_id, name)
        if not versions:
            raise NotFound
        return versions

    async def page(
        self, client_id: ClientId, *, after: str | None, limit: int
    ) -> list[tuple[str, int, datetime]]:
        """Name, newest version and its time, in the order of names."""
        return await self._templates.page(client_id, after=after, limit=limit)

    async def delete(self, client_id: ClientId, name: str) -> None:
        """Take the name out of use. Versions stay for what was sent with them.

        Raises:
            NotFound: there is no such template.
            Conflict: it is still assigned to segments.
        """
        users = await self._assignments.of_template(client_id, name, limit=USERS_NAMED_MAX)
        if users:
            segments = ", ".join(dict.fromkeys(user.key.segment for user in users))
            raise Conflict(f"It is still assigned: segments {segments}.")
        if not await self._templates.delete(client_id, name, self._clock.now()):
            raise NotFound

    async def render(
        self, client_id: ClientId, name: str, *, number: int | None, context: Mapping[str, Any]
    ) -> tuple[TemplateVersion, Mapping[str, str]]:
        """A version's parts, rendered with this context.

        Raises:
            NotFound: there is no such version.
            Invalid: it can't be rendered with this; a missing variable each by its pointer.
            Overloaded: the Message Service can't be asked.
        """
        version = await self.get(client_id, name, number)
        try:
            outcome = await self._engine.preview(version.parts, version.key, context)
        except WorkerLost:
            raise Overloaded("The Message Service can't be asked right now.") from None
        if isinstance(outcome, RenderRefusal):
            raise _invalid(outcome)
        return version, outcome.parts


def _invalid(refusal: RenderRefusal) -> Invalid:
    code = refusal.fault.value
    if refusal.fault is RenderFault.MISSING_VARIABLE and refusal.variables:
        return Invalid(
            [
                FieldError(
                    pointer="/data/" + name.replace(".", "/"),
                    code=code,
                    detail=f"The template needs the variable {name}.",
                )
                for name in refusal.variables
            ]
        )
    line = "" if refusal.line is None else f" (line {refusal.line})"
    pointer = f"/{refusal.part}" if refusal.part else ""
    return Invalid.at(pointer, code, f"{refusal.detail or 'The template was refused'}{line}")
