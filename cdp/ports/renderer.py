"""What a template engine is to the platform. `MessageService` asks; `cdp.rendering` answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from cdp.domain.record import record


class RenderFault(StrEnum):
    """Why a template could not be rendered for one recipient."""

    MISSING_VARIABLE = "missing_variable"
    SYNTAX = "template_syntax"
    FORBIDDEN = "template_forbidden"
    """It uses what the sandbox does not allow."""
    TIMEOUT = "render_timeout"
    MEMORY = "render_memory"
    OUTPUT_TOO_LARGE = "render_output_too_large"
    ERROR = "render_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSource:
    """The parts of one immutable template version. `key` names it in caches for ever."""

    key: str
    parts: Mapping[str, str]
    """Part name (`subject`, `html`, `text`) to template text. Only `html` is auto-escaped."""


@record
class RenderItem:
    """One recipient's rendering: which template, and the plain data that it sees."""

    source: TemplateSource
    context: Mapping[str, Any]


@record
class Rendered:
    """The finished parts, under the names of the template's parts."""

    parts: Mapping[str, str]


@record
class RenderRefusal:
    """This item has no content, and why; its neighbours are not affected."""

    fault: RenderFault
    detail: str = ""
    """For the template's author: a variable's name, a line. Never data of the recipient."""
    part: str = ""
    line: int | None = None
    variables: tuple[str, ...] = field(default=())


RenderOutcome = Rendered | RenderRefusal

Tracker = Callable[[Sequence[str]], Sequence[str | None]]
"""What stands in place of each link's URL, escaped for HTML; None where the author's stays."""


class Renderer(Protocol):
    """Renders hostile templates without harm to its caller."""

    async def render(self, items: Sequence[RenderItem]) -> list[RenderOutcome]:
        """Render all, in order. Never raises for what a template or its data can do."""

    async def check(self, source: TemplateSource) -> RenderRefusal | None:
        """Whether the template compiles within the limits; asked when a version is saved."""

    async def close(self) -> None:
        """End the child processes."""
