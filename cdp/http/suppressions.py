"""`/suppressions`: who must not be written to, on which channel, about what."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from cdp.channels.table import CHANNELS
from cdp.domain.ids import ClientId, id_from_text, text_of
from cdp.domain.suppression import Suppression, SuppressionReason
from cdp.errors import CdpError, FieldError, Invalid, NotFound
from cdp.http import examples
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.endpoint import Operation, Route
from cdp.http.json_body import json_body
from cdp.http.models import ChannelWord, Input, Label
from cdp.http.outputs import Id, Output, ProblemDocument
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import known_parameters
from cdp.http.problems import document_of
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter
from cdp.services.suppression_service import suppressed_as

ENTRIES_MAX: Final = 1_000
ADDRESS_CHARS_MAX: Final = 4_096
ID: Final[Parameter] = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of an entry.",
    "schema": {"type": "string", "format": "uuid"},
}

_NAMED: Final = ("channel", "recipient", "topic", "reason")


class SuppressionIn(Input):
    """Somebody who must not be written to."""

    channel: ChannelWord
    recipient: Annotated[
        str,
        Field(
            min_length=1,
            max_length=ADDRESS_CHARS_MAX,
            description="An address, as the channel writes it. Case is of no matter in an email's.",
        ),
    ]
    topic: Annotated[Label | None, Field(description="Null: whatever it is about.")] = None
    reason: Literal["unsubscribe", "hard_bounce", "complaint", "manual", "import"] = "manual"


class SuppressionsIn(Input):
    """Some who must not be written to."""

    entries: Annotated[list[SuppressionIn], Field(min_length=1, max_length=ENTRIES_MAX)]


class SuppressionOut(Output):
    """An entry of the list."""

    id: Id
    channel: str
    recipient: str
    topic: str | None
    reason: str
    source: str
    created_at: datetime


class SuppressionPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[SuppressionOut]
    next_cursor: str | None


class SuppressedItemOut(Output):
    """What became of one entry: `id` where the status is 201, else `problem`."""

    index: int
    status: int
    id: Id | None
    problem: ProblemDocument | None


class SuppressedOut(Output):
    """The entries are kept, and what was on its way to them is stopped."""

    kept: int
    stopped: Annotated[int, Field(description="Communications that were stopped.")]
    items: list[SuppressedItemOut]


async def post_suppressions(call: Call) -> Answer:
    """Keep entries; nothing more is sent to them but what a worker had already."""
    given = await json_body(call, SuppressionsIn)
    now = call.services.clock.now()
    kept: list[Suppression] = []
    items: list[dict[str, Any]] = []
    for index, each in enumerate(given.entries):
        made = _entry_of(call.caller.client.id, each, now)
        if isinstance(made, CdpError):
            problem = document_of(made)
            items.append(
                {"index": index, "status": problem["status"], "id": None, "problem": problem}
            )
        else:
            kept.append(made)
            items.append({"index": index, "status": 201, "id": text_of(made.id), "problem": None})
    stopped = await call.services.suppressions.suppress(kept)
    return json_answer({"kept": len(kept), "stopped": stopped, "items": items}, status=207)


def _entry_of(client_id: ClientId, given: SuppressionIn, now: datetime) -> Suppression | Invalid:
    try:
        address = CHANNELS[given.channel].address(given.recipient)
    except ValueError as error:
        return Invalid(
            [FieldError(pointer="/recipient", code="address_invalid", detail=f"{error}.")]
        )
    return Suppression(
        client_id=client_id,
        channel=given.channel,
        recipient=suppressed_as(given.channel, address),
        topic=given.topic,
        reason=SuppressionReason(given.reason),
        source="api",
        created_at=now,
    )


async def list_suppressions(call: Call) -> Answer:
    """A page of entries."""
    known_parameters(call, frozenset({*_NAMED, "limit", "cursor"}))
    named: dict[str, str] = {name: call.query[name] for name in _NAMED if name in call.query}
    limit, listing = limit_of(call), f"suppressions:{sorted(named.items())}"
    page = await call.services.suppressions.page(
        call.caller.client.id, named=named, after=cursor_of(call, listing), limit=limit + 1
    )
    return json_answer(
        page_of(call, listing, page, limit=limit, position=lambda e: e.id, view=suppression_view)
    )


async def delete_suppression(call: Call) -> Answer:
    """Take an entry away. What it has stopped stays stopped."""
    try:
        entry_id = id_from_text(call.path("id"))
    except ValueError:
        raise NotFound from None
    await call.services.suppressions.delete(call.caller.client.id, entry_id)
    return Answer(status=204, body=b"")


def suppression_view(entry: Suppression) -> dict[str, Any]:
    """An entry."""
    return {
        "id": text_of(entry.id),
        "channel": entry.channel,
        "recipient": entry.recipient,
        "topic": entry.topic,
        "reason": entry.reason.value,
        "source": entry.source,
        "created_at": entry.created_at,
    }


SUPPRESSIONS: Final[Sequence[Route]] = (
    Route(
        method="POST",
        path="/suppressions",
        handler=post_suppressions,
        operation=Operation(
            id="suppress",
            tag="Suppressions",
            summary="Suppress recipients",
            description=f"Up to {ENTRIES_MAX:,} entries, each with its own answer. What is on its "
            "way to them ends as `suppressed`, and when this answers nothing more is sent to them "
            "but what a worker had already.",
            body=SuppressionsIn,
            examples={"two": examples.SUPPRESSIONS},
            answers={207: SuppressedOut},
            problems=WRITES,
        ),
    ),
    Route(
        method="GET",
        path="/suppressions",
        handler=list_suppressions,
        operation=Operation(
            id="listSuppressions",
            tag="Suppressions",
            summary="List suppressed recipients",
            parameters=(
                query_parameter("channel", "Only those on this channel."),
                query_parameter("recipient", "Only this recipient, as an entry shows it."),
                query_parameter("topic", "Only those of this topic."),
                query_parameter("reason", "Only those for this reason."),
                *paging(),
            ),
            answers={200: SuppressionPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="DELETE",
        path="/suppressions/{id}",
        handler=delete_suppression,
        operation=Operation(
            id="unsuppress",
            tag="Suppressions",
            summary="Take an entry away",
            description="From then on the recipient is written to again. What it has stopped stays "
            "stopped.",
            parameters=(ID,),
            answers={204: None},
            problems=READS,
        ),
    ),
)
