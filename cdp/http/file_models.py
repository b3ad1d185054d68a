"""What callers say of a file of requests, and what they are told of it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from cdp.http.models import (
    ChannelWord,
    Input,
    Label,
    PriorityWord,
    TemplateName,
    Time,
)
from cdp.http.outputs import Id, Output

Encoding = Literal[
    "utf-8", "utf-16-le", "utf-16-be",
    "iso-8859-1", "iso-8859-2", "iso-8859-9", "iso-8859-15",
    "windows-1250", "windows-1251", "windows-1252", "windows-1254",
]  # fmt: skip


class FileOptionsIn(Input):
    """How a file is read, and what its rows may leave out."""

    format: Annotated[
        Literal["csv", "ndjson"] | None,
        Field(description="Left out, by the name or the content type."),
    ] = None
    encoding: Annotated[
        Encoding | None, Field(description="Of a CSV without a byte order mark; else UTF-8.")
    ] = None
    delimiter: Annotated[
        Literal[",", ";", "\t", "|"] | None, Field(description="Left out, by the header.")
    ] = None
    channel: ChannelWord | None = None
    template: TemplateName | None = None
    campaign: Label | None = None
    segment: Label | None = None
    topic: Label | None = None
    priority: PriorityWord | None = None
    send_at: Time = None
    expires_at: Time = None
    strict: Annotated[
        bool, Field(description="All or nothing: no row is sent unless every row is right.")
    ] = False
    hold: Annotated[
        bool, Field(description="Send nothing before it is started: to look at a preview.")
    ] = False
    force: Annotated[
        bool, Field(description="It is meant, also if the same bytes came within a day.")
    ] = False
    name: Annotated[
        str | None, Field(max_length=200, description="For people; else that of the upload.")
    ] = None


class FileUploadIn(FileOptionsIn):
    """A file that will be put to a URL: what it is called, how it is read."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=200, description="For people; its ending tells the format."),
    ]


class FileUploadOut(Output):
    """Where to put a file, whole, by one PUT without any credentials."""

    id: Annotated[Id, Field(description="The id that the file has.")]
    method: Literal["PUT"]
    url: Annotated[str, Field(description="Whoever has it may put the file: keep it secret.")]
    expires_at: Annotated[datetime, Field(description="When the PUT must have begun.")]
    awaited_until: Annotated[datetime, Field(description="When it must have come; else it fails.")]


class RowCountsOut(Output):
    """Rows so far."""

    read: int
    accepted: int
    rejected: int


class FileOut(Output):
    """A file of requests."""

    id: Id
    batch_id: Annotated[Id, Field(description="The batch of what its rows became.")]
    name: str
    source: Literal["api", "sftp", "bucket"]
    size: Annotated[int, Field(description="In bytes; 0 before it is taken in.")]
    sha256: Annotated[str, Field(description="Empty before it is taken in.")]
    state: Literal[
        "awaited", "receiving", "held", "waiting", "checking", "ingesting", "done", "failed",
        "cancelled",
    ]  # fmt: skip
    reason: Annotated[str | None, Field(description="Why it has failed.")]
    detail: str | None
    strict: bool
    options: dict[str, Any]
    rows: RowCountsOut
    progress: Annotated[float | None, Field(ge=0, le=1, description="The part that is read.")]
    estimated_end_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class FilePage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[FileOut]
    next_cursor: str | None
