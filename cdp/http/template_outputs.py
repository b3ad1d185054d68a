"""The shapes of answers about templates, for the OpenAPI document only."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from cdp.http.outputs import Output


class EmailParts(Output):
    """An email."""

    subject: str | None
    html: str | None
    text: str | None


class SmsParts(Output):
    """A text message."""

    text: str | None


class PushParts(Output):
    """A push notification. `data` is the text of a JSON object."""

    title: str | None
    body: str | None
    data: str | None
    collapse_key: str | None
    ttl_s: str | None


class InAppParts(Output):
    """An entry of an inbox. `data` is the text of a JSON object."""

    title: str | None
    body: str | None
    action_url: str | None
    action_label: str | None
    data: str | None


class WebhookParts(Output):
    """What is posted: JSON, as text."""

    payload: str | None


AnyParts = EmailParts | SmsParts | PushParts | InAppParts | WebhookParts


class ContentsOut(Output):
    """Content by channel; null where there is none."""

    email: EmailParts | None
    sms: SmsParts | None
    push: PushParts | None
    in_app: InAppParts | None
    webhook: WebhookParts | None


class TemplateOut(ContentsOut):
    """One version of a template."""

    name: str
    version: int
    locales: Annotated[dict[str, ContentsOut], Field(description="Variants by language.")]
    created_at: datetime


class TemplateEntry(Output):
    """A template in a list."""

    name: str
    version: Annotated[
        int | None, Field(description="The current one. Null where there are only drafts.")
    ]
    latest: int
    updated_at: datetime


class TemplatePage(Output):
    """A page of templates."""

    items: list[TemplateEntry]
    next_cursor: str | None


class VersionEntry(Output):
    """A version in a list."""

    version: int
    created_at: datetime


class VersionList(Output):
    """All versions, the newest first."""

    items: list[VersionEntry]


class RenderedOut(Output):
    """What a version made of the data."""

    name: str
    version: int
    channel: str
    locale: Annotated[str | None, Field(description="Of the variant; null is the one for all.")]
    content: AnyParts


class PartDiffOut(Output):
    """How one part differs: a unified diff."""

    channel: str
    locale: str | None
    part: str
    diff: str


class DiffOut(Output):
    """What differs between two versions; parts that are equal are left out."""

    from_: Annotated[int, Field(alias="from")]
    to: int
    parts: list[PartDiffOut]
