"""The shapes of a file's preview, for the OpenAPI document only."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from cdp.http.outputs import AddressOut, Id, Output, PriorityWord, ProblemError
from cdp.http.template_outputs import AnyParts


class PreviewColumn(Output):
    """A column, and where its cells go."""

    name: Annotated[str, Field(description="As the header writes it.")]
    pointers: Annotated[
        dict[str, str],
        Field(
            description="By channel: a JSON pointer into what a POST would have as its body. A "
            "channel that is missing has no such field, or no column has its address."
        ),
    ]


class PreviewWarning(Output):
    """What may be a mistake, and stops nothing."""

    code: str
    detail: str
    column: Annotated[str, Field(description="Empty where it is of none.")]


class PreviewReject(Output):
    """Why a row would be rejected, as its rejects would say."""

    column: str
    code: str
    reason: str


class SmsSegments(Output):
    """How a text message goes over the air."""

    encoding: Literal["gsm", "ucs2"]
    count: int


class PreviewCommunication(Output):
    """What a row would become."""

    channel: str
    from_: Annotated[AddressOut | None, Field(alias="from")]
    to: AddressOut
    template: Annotated[
        str | None, Field(description="Null where the row has its content with it.")
    ]
    template_version: int | None
    locale: Annotated[str | None, Field(description="Of the variant; null is the one for all.")]
    campaign: str | None
    segment: str | None
    topic: str | None
    priority: PriorityWord
    send_at: datetime | None
    expires_at: datetime | None
    reference: str | None
    content: Annotated[
        AnyParts | None,
        Field(description="Null where it can't be rendered: it would be undeliverable."),
    ]
    sms_segments: SmsSegments | None
    errors: Annotated[list[ProblemError], Field(description="Why it can't be rendered.")]


class PreviewRow(Output):
    """A row: either it would be rejected, or it would become a communication."""

    row: Annotated[int, Field(description="From 1; the header is none.")]
    text: Annotated[str, Field(description="As it stands in the file, cut if it is long.")]
    reject: PreviewReject | None
    communication: PreviewCommunication | None


class PreviewTrouble(Output):
    """Why the file can't be read on: as its `reason` and `detail` would say."""

    reason: str
    detail: str


class PreviewOut(Output):
    """The first rows of a file, as they would be sent."""

    file_id: Id
    format: Literal["csv", "ndjson"]
    packing: Literal["gzip", "zip"] | None
    encoding: Annotated[
        str | None, Field(description="Null where the header could not be read, as the next.")
    ]
    delimiter: Annotated[str | None, Field(description="Of a CSV.")]
    columns: Annotated[list[PreviewColumn], Field(description="Of a CSV.")]
    warnings: list[PreviewWarning]
    rows: list[PreviewRow]
    has_more: Annotated[bool, Field(description="Whether rows are known to follow.")]
    trouble: Annotated[
        PreviewTrouble | None,
        Field(description="Why no more rows can be read, where that was seen."),
    ]
