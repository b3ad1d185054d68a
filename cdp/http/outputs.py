"""The shapes of answers, for the OpenAPI document only: `views` makes the answers themselves."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema

from cdp.domain.event import EventName, Status
from cdp.domain.failure import ErrorClass

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
PriorityWord = Literal["high", "normal", "low"]


def _all_required(schema: JsonSchemaValue) -> None:
    schema["required"] = list(schema.get("properties", {}))


class Output(BaseModel):
    """Every field is always there; what is not known is null."""

    model_config = ConfigDict(json_schema_extra=_all_required)


class ProblemError(Output):
    """One thing that is wrong."""

    pointer: Annotated[
        str,
        Field(description="A JSON pointer into the body, or the name of a parameter or header."),
    ]
    code: str
    detail: str


class ProblemDocument(BaseModel):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: Annotated[
        list[ProblemError], Field(description="Only where what was sent is not valid.")
    ] = []


class AcceptedRecipient(Output):
    """A recipient of an accepted request."""

    id: Id
    to: str


class AcceptedOut(Output):
    """The request is durable."""

    id: Id
    status: Literal["accepted"]
    recipients: list[AcceptedRecipient]
    created_at: datetime


class PendingOut(Output):
    """What is not finished, by where it is."""

    scheduled: int
    waiting: int
    in_flight: int
    retrying: int


class BooksOut(Output):
    """`accepted` is the sum of the six that follow it, `pending` the sum of `pending_by`."""

    accepted: int
    delivered: int
    undeliverable: int
    cancelled: int
    expired: int
    suppressed: int
    pending: int
    pending_by: PendingOut


class FailureOut(Output):
    """What went wrong last. It stays while another attempt is being made."""

    class_: Annotated[
        ErrorClass,
        Field(alias="class", description="What it takes for another attempt to go better."),
    ]
    reason: Annotated[str, Field(description="One of the reasons in the reference.")]
    code: Annotated[str | None, Field(description="The provider's own.")]
    provider: Annotated[str | None, Field(description="Null where there was no attempt.")]


class FailureReportOut(FailureOut):
    """A failure with what the provider answered, or what the template lacks."""

    detail: str


class RecipientOut(Output):
    """One recipient's state."""

    id: Id
    to: str
    status: Status
    reason: str | None
    failure: FailureOut | None
    attempts: int
    priority: PriorityWord
    send_at: datetime | None
    expires_at: datetime | None
    updated_at: datetime
    delivered_at: datetime | None
    opened_at: Annotated[datetime | None, Field(description="First opened by a person.")]
    read_at: datetime | None
    clicked_at: Annotated[datetime | None, Field(description="A person's first click.")]
    machine_opened_at: Annotated[
        datetime | None,
        Field(description="First fetched by a machine: a scanner, or a proxy that loads all."),
    ]
    machine_clicked_at: Annotated[
        datetime | None, Field(description="A machine's first look at a link.")
    ]


class NamedRecipientOut(RecipientOut):
    """The same, with the name that was given."""

    name: str


class CommunicationOut(Output):
    """A request and what became of it."""

    id: Id
    status: Annotated[
        str,
        Field(
            description="The status that all recipients share; else `in_progress` while anything "
            "is still to come, and `finished` after."
        ),
    ]
    channel: str
    template: str | None
    campaign: str | None
    segment: str | None
    reference: str | None
    metadata: dict[str, str]
    priority: PriorityWord
    send_at: datetime | None
    expires_at: datetime | None
    batch_id: Id | None
    created_at: datetime
    counts: BooksOut
    recipients: list[NamedRecipientOut]


class ResultOut(RecipientOut):
    """One recipient's communication, as an entry of a list."""

    communication_id: Id
    channel: str
    campaign: str | None
    segment: str | None
    reference: str | None
    batch_id: Id | None
    created_at: datetime


class ResultPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[ResultOut]
    next_cursor: str | None


class EventOut(Output):
    """One event of a log."""

    recipient_id: Id
    number: Annotated[
        int | None, Field(description="Null for engagement and receipts, which move nothing.")
    ]
    event: EventName
    at: datetime
    failure: FailureReportOut | None
    details: dict[str, Any]


class EventList(Output):
    """A log, recipient by recipient."""

    items: list[EventOut]


class MailboxOut(Output):
    """An address and a name."""

    email: str
    name: str


class AddressOut(Output):
    """An address on the channel, and a name."""

    address: str
    name: str


class ContentOut(Output):
    """The finished content for one recipient."""

    recipient_id: Id
    channel: str
    from_: Annotated[AddressOut | None, Field(alias="from")]
    to: AddressOut
    cc: list[MailboxOut]
    bcc: list[MailboxOut]
    reply_to: MailboxOut | None
    headers: dict[str, str]
    content: Annotated[
        dict[str, str | None],
        Field(description="By part; what a channel's content may have and this has not is null."),
    ]
    template: str | None
    template_version: int | None
    locale: str | None
    resolved_at: datetime


class ChangedRecipient(Output):
    """What a change or a cancellation did to one recipient."""

    id: Id
    status: Status
    changed: bool
    send_at: datetime | None
    expires_at: datetime | None
    priority: PriorityWord


class ChangedOut(Output):
    """At least one recipient was changed."""

    id: Id
    recipients: list[ChangedRecipient]


class BatchItemOut(BaseModel):
    """What became of one item: `id` where the status is 202, else `problem`."""

    index: int
    status: int
    id: Id | None = None
    problem: ProblemDocument | None = None


class BatchAcceptedOut(Output):
    """The batch was read; each item has its own status."""

    batch_id: Id
    accepted: int
    rejected: int
    items: list[BatchItemOut]


class BatchRequestsOut(Output):
    """How many items were taken in and refused; null while the batch is open."""

    accepted: int | None
    rejected: int | None


class BatchOut(Output):
    """A batch and its books, which count recipients."""

    id: Id
    status: Literal["open", "complete"]
    created_at: datetime
    requests: BatchRequestsOut
    results: Annotated[
        int | None, Field(description="Recipients of all accepted items; null while it is open.")
    ]
    counts: BooksOut


class HealthOut(Output):
    """The process answers."""

    status: Literal["alive"]


class ReadyOut(BaseModel):
    """Whether it can do its work, and what it depends on."""

    model_config = ConfigDict(extra="allow")

    ready: bool
