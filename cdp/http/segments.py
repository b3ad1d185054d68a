"""`/segments`: a client's segments, and the templates that are assigned to them."""

from typing import Final

from cdp.domain.segment import AssignmentKey
from cdp.errors import Invalid
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.entity_tags import tagged_answer, versions_asked_for
from cdp.http.json_body import json_body
from cdp.http.models import AssignmentIn, SegmentIn
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import known_parameters, name_in_path, new_name_in_path
from cdp.http.views import segment_view
from cdp.services.segment_service import SegmentView

_SCOPE: Final = "segments"


async def put_segment(call: Call) -> Answer:
    """Make a segment, or describe it anew."""
    name = new_name_in_path(call)
    given = await json_body(call, SegmentIn)
    view, is_new = await call.services.segments.put(
        call.caller.client.id,
        name,
        description=given.description,
        seen=versions_asked_for(call.headers),
    )
    return _answer(view, status=201 if is_new else 200)


async def list_segments(call: Call) -> Answer:
    """A page of segments in the order of their names."""
    known_parameters(call, frozenset({"limit", "cursor"}))
    limit = limit_of(call)
    after = cursor_of(call, _SCOPE)
    page = await call.services.segments.page(
        call.caller.client.id, after=None if after is None else after.decode(), limit=limit + 1
    )
    return json_answer(
        page_of(
            call,
            _SCOPE,
            page,
            limit=limit,
            position=lambda view: view.segment.name.encode(),
            view=segment_view,
        )
    )


async def get_segment(call: Call) -> Answer:
    """A segment with its assignments."""
    known_parameters(call, frozenset())
    return _answer(await call.services.segments.get(call.caller.client.id, name_in_path(call)))


async def delete_segment(call: Call) -> Answer:
    """Take a segment away that no template is assigned to."""
    await call.services.segments.delete(
        call.caller.client.id, name_in_path(call), seen=versions_asked_for(call.headers)
    )
    return Answer(status=204, body=b"")


async def put_assignment(call: Call) -> Answer:
    """Let a segment get a template."""
    name = name_in_path(call)
    given = await json_body(call, AssignmentIn)
    key = AssignmentKey(
        client_id=call.caller.client.id,
        segment=name,
        channel=given.channel,
        campaign=given.campaign,
    )
    return _answer(await call.services.segments.assign(key, given.template))


async def delete_assignment(call: Call) -> Answer:
    """Take an assignment away."""
    known_parameters(call, frozenset({"channel", "campaign"}))
    if "channel" not in call.query:
        raise Invalid.at("channel", "missing", "Say on which channel.")
    await call.services.segments.unassign(
        AssignmentKey(
            client_id=call.caller.client.id,
            segment=name_in_path(call),
            channel=call.query["channel"],
            campaign=call.query.get("campaign"),
        )
    )
    return Answer(status=204, body=b"")


def _answer(view: SegmentView, *, status: int = 200) -> Answer:
    return tagged_answer(segment_view(view), view.segment.version, status=status)
