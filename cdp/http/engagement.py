"""`/tracking/events`: what recipients did, as the client's own app reports it.

The secured twin of the public links and pixels: an in-app message that was read, a push
notification that was opened.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from cdp.domain.event import EventName
from cdp.domain.ids import ResultId, id_from_text
from cdp.errors import FieldError, Invalid
from cdp.http import examples
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.endpoint import Operation, Route
from cdp.http.json_body import json_body
from cdp.http.models import Input, Time
from cdp.http.outputs import Output
from cdp.http.route_parts import WRITES
from cdp.services.engagement_queue import Engagement

EVENTS_MAX: Final = 1_000
PAST_MAX: Final = timedelta(days=30)
AHEAD_MAX: Final = timedelta(minutes=5)
"""Clocks of devices are not ours."""


class EngagementIn(Input):
    """Something that a recipient did."""

    id: Annotated[str, Field(max_length=36, description="Of the communication to this recipient.")]
    event: Literal["opened", "read", "clicked"]
    url: Annotated[str | None, Field(max_length=2_048, description="What was clicked.")] = None
    occurred_at: Time = None


class EngagementsIn(Input):
    """What recipients did."""

    events: Annotated[list[EngagementIn], Field(min_length=1, max_length=EVENTS_MAX)]


class EngagementOut(Output):
    """What became of one report."""

    index: int
    status: Annotated[
        int,
        Field(description="202: recorded. 404: no such communication, or not attempted yet."),
    ]


class EngagementsOut(Output):
    """What became of each report. One that is repeated is recorded once."""

    recorded: int
    items: list[EngagementOut]


async def post_engagement(call: Call) -> Answer:
    """Record what the client's app reports."""
    given = await json_body(call, EngagementsIn)
    now = call.services.clock.now()
    engagements = _engagements(given.events, now)
    known = await call.services.tracking.record_of_client(call.caller.client.id, engagements)
    items: list[dict[str, Any]] = [
        {"index": index, "status": 202 if each.result_id in known else 404}
        for index, each in enumerate(engagements)
    ]
    recorded = sum(item["status"] == 202 for item in items)
    return json_answer({"recorded": recorded, "items": items}, status=207)


def _engagements(given: Sequence[EngagementIn], now: datetime) -> list[Engagement]:
    engagements, errors = [], []
    for index, each in enumerate(given):
        at = each.occurred_at or now
        if not now - PAST_MAX <= at <= now + AHEAD_MAX:
            detail = "This must be within the last 30 days."
            pointer = f"/events/{index}/occurred_at"
            errors.append(FieldError(pointer=pointer, code="out_of_bounds", detail=detail))
            continue
        try:
            result_id = ResultId(id_from_text(each.id))
        except ValueError:
            pointer = f"/events/{index}/id"
            errors.append(FieldError(pointer=pointer, code="id_invalid", detail="This is no id."))
            continue
        name = EventName(each.event.upper())
        engagements.append(Engagement(result_id=result_id, name=name, at=at, url=each.url or ""))
    if errors:
        raise Invalid(errors)
    return engagements


ENGAGEMENT: Final[Sequence[Route]] = (
    Route(
        method="POST",
        path="/tracking/events",
        handler=post_engagement,
        operation=Operation(
            id="reportEngagement",
            tag="Tracking",
            summary="Report what recipients did",
            description=f"Up to {EVENTS_MAX:,} events that your own app has seen: an in-app "
            "message that was read, a push notification that was opened. A repeat is recorded "
            "once.",
            body=EngagementsIn,
            examples={"read": examples.ENGAGEMENT},
            answers={207: EngagementsOut},
            problems=WRITES,
        ),
    ),
)
