"""Templates of a client: every change is a new version, and a version never changes.

What may be saved is decided by the Message Service, the only place that compiles a template.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from cdp.channels.content import Parts, UnfitContent
from cdp.channels.table import CHANNELS
from cdp.domain.ids import ClientId, fresh_id
from cdp.domain.template import (
    ANY_LOCALE,
    PartDiff,
    TemplateHead,
    TemplateVersion,
    Variants,
    differences,
)
from cdp.domain.template_needs import Needs
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a version has made of some data."""

    version: TemplateVersion
    channel: str
    locale: str
    parts: Parts


class TemplateService:
    """Saves, lists, renders and takes away templates, one client at a time."""

    def __init__(
        self,
        *,
        templates: Templates,
        assignments: SegmentAssignments,
        engine: TemplateEngine,
        needs_of: Callable[[Parts], Sequence[str]],
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        """`needs_of` says which variables a fit template certainly needs."""
        self._needs_of = needs_of
        self._templates = templates
        self._assignments = assignments
        self._engine = engine
        self._clock = clock
        self._random_bytes = random_bytes

    async def put(
        self,
        client_id: ClientId,
        name: str,
        *,
        contents: Mapping[str, Variants],
        is_draft: bool = False,
    ) -> tuple[TemplateVersion, bool]:
        """Make this a new version, and the current one unless it is a draft.

        Args:
            client_id: whose template.
            name: its name.
            contents: by channel and locale.
            is_draft: whether it waits for `publish`.

        Returns:
            The version, and whether it is new: the contents of the current one make no second.

        Raises:
            Invalid: the Message Service refuses the template.
            Overloaded: the Message Service can't be asked.
        """
        current = (await self._templates.current(client_id, [name])).get(name)
        if current is not None and current.contents == contents:
            return current, False
        now = self._clock.now()
        version = TemplateVersion(
            id=fresh_id(now, self._random_bytes),
            client_id=client_id,
            name=name,
            version=0,
            contents=contents,
            created_at=now,
        )
        await self._require_fit(version)
        needs = await asyncio.to_thread(self._needs, contents)
        number = await self._templates.next_number(client_id, name)
        version = replace(version, version=number, needs=needs)
        await self._templates.insert_version(version, is_draft=is_draft)
        return version, True

    async def _require_fit(self, version: TemplateVersion) -> None:
        errors: list[FieldError] = []
        for channel, variants in version.contents.items():
            for locale in variants:
                variant = version.variant(channel, locale)
                assert variant is not None
                try:
                    refusal = await self._engine.check(variant.parts, variant.key)
                except WorkerLost:
                    raise _unasked() from None
                if refusal is not None:
                    errors += _errors(refusal, _pointer(channel, locale))
        if errors:
            raise Invalid(errors)

    def _needs(self, contents: Mapping[str, Variants]) -> dict[str, dict[str, Needs]]:
        return {
            channel: {locale: Needs.of(self._needs_of(parts)) for locale, parts in variants.items()}
            for channel, variants in contents.items()
        }

    async def publish(self, client_id: ClientId, name: str, number: int) -> TemplateVersion:
        """Make a version the current one: a draft, or one from before, to roll back.

        Raises:
            NotFound: there is no such version.
        """
        version = await self._templates.version(client_id, name, number)
        if version is None:
            raise NotFound
        await self._templates.publish(version, self._clock.now())
        return version

    async def diff(self, client_id: ClientId, name: str, before: int, after: int) -> list[PartDiff]:
        """What differs between two versions, part by part.

        Raises:
            NotFound: one of them does not exist.
        """
        old = await self.get(client_id, name, before)
        new = await self.get(client_id, name, after)
        return differences(old, new)

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
    ) -> list[TemplateHead]:
        """Templates in the order of their names."""
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
        self,
        client_id: ClientId,
        name: str,
        *,
        number: int | None,
        channel: str | None,
        locale: str | None,
        context: Mapping[str, Any],
    ) -> Rendering:
        """A version's content for a channel and language, rendered with this context.

        Args:
            client_id: whose template.
            name: its name.
            number: of the version; None is the current one.
            channel: None is the only one that it has content for.
            locale: of who is to read it.
            context: what the template sees.

        Raises:
            NotFound: there is no such version.
            Invalid: it has nothing for this channel or language, or can't be rendered with this;
                a missing variable each by its pointer.
            Overloaded: the Message Service can't be asked.
        """
        version = await self.get(client_id, name, number)
        return await self.render_version(version, channel=channel, locale=locale, context=context)

    async def render_version(
        self,
        version: TemplateVersion,
        *,
        channel: str | None,
        locale: str | None,
        context: Mapping[str, Any],
    ) -> Rendering:
        """The same of a version that was read before.

        Raises:
            Invalid: as `render`.
            Overloaded: as `render`.
        """
        there = ", ".join(version.contents)
        if channel is None and len(version.contents) > 1:
            raise Invalid.at("/channel", "missing", f"It has content for {there}: name one.")
        wanted = channel or next(iter(version.contents))
        if wanted not in version.contents:
            raise Invalid.at("/channel", "other_channel", f"It has content for {there} only.")
        variant = version.variant(wanted, locale)
        if variant is None:
            raise Invalid.at(
                "/recipient/locale",
                "other_language",
                "It has nothing in this language, nor for all.",
            )
        try:
            outcome = await self._engine.preview(variant.parts, variant.key, context)
        except WorkerLost:
            raise _unasked() from None
        if isinstance(outcome, RenderRefusal):
            raise Invalid(_errors(outcome, ""))
        try:
            parts = CHANNELS[wanted].finish(outcome.parts)
        except UnfitContent as unfit:
            fault = unfit.fault
            raise Invalid(
                [FieldError(pointer=f"/{fault.part}", code=fault.code, detail=fault.detail)]
            ) from None
        return Rendering(version=version, channel=wanted, locale=variant.locale, parts=parts)


def _unasked() -> Overloaded:
    return Overloaded("The Message Service can't be asked right now.")


def _pointer(channel: str, locale: str) -> str:
    return f"/{channel}" if locale == ANY_LOCALE else f"/locales/{locale}/{channel}"


def _errors(refusal: RenderRefusal, at: str) -> list[FieldError]:
    code = refusal.fault.value
    if refusal.fault is RenderFault.MISSING_VARIABLE and refusal.variables:
        return [
            FieldError(
                pointer="/data/" + name.replace(".", "/"),
                code=code,
                detail=f"The template needs the variable {name}.",
            )
            for name in refusal.variables
        ]
    line = "" if refusal.line is None else f" (line {refusal.line})"
    pointer = f"{at}/{refusal.part}" if refusal.part else at
    detail = f"{refusal.detail or 'The template was refused'}{line}"
    return [FieldError(pointer=pointer, code=code, detail=detail)]
