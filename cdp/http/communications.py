"""`/communications`: to send, to look, to change, to take back."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cdp.channels.email import normalise
from cdp.channels.table import CHANNELS
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Status
from cdp.domain.failure_report import failures_of
from cdp.domain.ids import BatchId, RequestId, ResultId, id_from_text, text_of
from cdp.errors import CdpError, Conflict, Invalid, NotFound, TooLate
from cdp.http.admission import refusals, request_of
from cdp.http.answer import Answer, json_answer
from cdp.http.body import SINGLE_BYTES_MAX, Body, media_type
from cdp.http.call import Call
from cdp.http.communication_models import CommunicationIn
from cdp.http.idempotency import REPLAYED, body_hash, key_of
from cdp.http.json_body import JSON, json_body
from cdp.http.json_input import parse
from cdp.http.models import ChangeIn
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import QueryReader, id_in_path, known_parameters
from cdp.http.request_defaults import PRIORITIES, with_defaults
from cdp.http.views import accepted_view, content_view, event_view, request_view, result_view
from cdp.services.communication_reading import Filters

PATH: Final = "/communications"


async def post_communication(call: Call) -> Answer:
    """Accept one request. When this answers 202, it is durable."""
    media_type(call.headers, JSON)
    raw = await Body(call.headers, call.receive, limit=SINGLE_BYTES_MAX).read()
    key = key_of(call.headers)
    services, caller = call.services, call.caller
    request = request_of(
        parse(CommunicationIn, raw).root,
        request_id=RequestId(services.new_id()),
        client=caller.client,
        id_key=services.id_key,
        at=services.clock.now(),
        idempotency_key=key,
        body_hash=None if key is None else body_hash(PATH, raw),
    )
    [request] = await with_defaults(services, [request])
    [refused] = await refusals(services, caller, [request], now=request.requested_at)
    # What was accepted before is answered the same, even if it would be refused today.
    if refused is not None and not await _came_before(call, request):
        raise refused
    outcome = await services.commit.submit(request)
    if refused is None and (isinstance(outcome, CdpError) or outcome.repeated):
        services.backlog.release(caller.client, len(request.recipients))
    if isinstance(outcome, CdpError):
        raise outcome
    if outcome.repeated:
        return json_answer(accepted_view(outcome.request), status=202, headers=(REPLAYED,))
    services.metrics.count("cdp_accepted", len(outcome.items), channel=request.channel)
    services.hint(outcome.items)
    return json_answer(accepted_view(outcome.request), status=202)


async def _came_before(call: Call, request: CommunicationRequest) -> bool:
    key = request.idempotency_key
    if key is None:
        return False
    earlier = await call.services.reading.with_key(request.client_id, key)
    return earlier is not None and earlier.body_hash == request.body_hash


async def get_communication(call: Call) -> Answer:
    """A request with the state of each recipient."""
    view = await call.services.reading.one(call.caller.client.id, id_in_path(call))
    return json_answer(request_view(view))


_FILTERS: Final = frozenset(
    {
        "status", "campaign", "reference", "recipient", "batch_id", "channel",
        "created_from", "created_to", "limit", "cursor",
    }
)  # fmt: skip


async def list_communications(call: Call) -> Answer:
    """A page of communications, one for each recipient, the newest first."""
    known_parameters(call, _FILTERS)
    limit = limit_of(call)
    filters = filters_of(call.query)
    scope = f"communications:{sorted(_filtering(call.query).items())}"
    page = await call.services.reading.page(
        call.caller.client.id, filters, before=cursor_of(call, scope), limit=limit + 1
    )
    return json_answer(
        page_of(call, scope, page, limit=limit, position=lambda r: r.id, view=result_view)
    )


def _address_on(channel: str | None) -> Callable[[str], str]:
    """How an address is brought into its one form. Without a channel it is by its looks."""
    if channel is not None and channel in CHANNELS:
        return CHANNELS[channel].address
    return lambda text: normalise(text) if "@" in text else text


def _filtering(query: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if name not in ("limit", "cursor")}


def filters_of(query: Mapping[str, str]) -> Filters:
    """The filters that a query names.

    Raises:
        Invalid: with each that is wrong.
    """
    reader = QueryReader(query)
    filters = Filters(
        status=reader.read("status", Status, f"One of: {', '.join(Status)}."),
        campaign=reader.text("campaign"),
        reference=reader.text("reference"),
        recipient=reader.read("recipient", _address_on(query.get("channel")), "An address."),
        batch_id=reader.read("batch_id", _batch_id, "The id of a batch."),
        channel=reader.text("channel"),
        created_from=reader.time("created_from"),
        created_to=reader.time("created_to"),
    )
    reader.require_valid()
    return filters


def _batch_id(text: str) -> BatchId:
    return BatchId(id_from_text(text))


async def get_events(call: Call) -> Answer:
    """The whole log of a communication, recipient by recipient."""
    client_id = call.caller.client.id
    target = await call.services.reading.target(client_id, id_in_path(call))
    items: list[dict[str, Any]] = []
    for result_id in target.results:
        events = await call.services.communications.events(client_id, result_id)
        failures = failures_of(events)
        items += [event_view(event, failures.get(event.id)) for event in events]
    return json_answer({"items": items})


async def get_content(call: Call) -> Answer:
    """The finished content for one recipient."""
    client_id = call.caller.client.id
    target = await call.services.reading.target(client_id, id_in_path(call))
    if len(target.results) > 1:
        raise Conflict(
            f"This request has {len(target.results)} recipients: ask with the id of one of them."
        )
    content = await call.services.communications.content(client_id, target.results[0])
    if content is None:
        raise NotFound("The content is not made yet.")
    return json_answer(content_view(content))


async def patch_communication(call: Call) -> Answer:
    """Change the times or the priority of what is not sent yet."""
    change = _change_of(await json_body(call, ChangeIn), call)
    client_id = call.caller.client.id
    target = await call.services.reading.target(client_id, id_in_path(call))
    _require_order(change, [target.documents.get(result) or {} for result in target.results])
    after = await call.services.communications.reschedule(client_id, target.results, change=change)
    changed = {r for r, item in after.items() if item.reason == "changed" and _is_open(item)}
    call.services.hint([after[result] for result in target.results if result in changed])
    return _per_recipient(call, after, changed)


def _is_open(item: WorkItem) -> bool:
    return not item.is_final and item.status is not Status.SENDING


def _change_of(given: ChangeIn, call: Call) -> dict[str, Any]:
    names = given.model_fields_set
    if not names:
        raise Invalid.at("", "missing", "Give send_at, expires_at or priority.")
    change: dict[str, Any] = {name: getattr(given, name) for name in names}
    if "priority" in change:
        change["priority"] = int(PRIORITIES[given.priority])
    if given.expires_at is not None and given.expires_at <= call.services.clock.now():
        raise Invalid.at("/expires_at", "past", "This time has passed.")
    return change


def _require_order(change: Mapping[str, Any], documents: list[Mapping[str, Any]]) -> None:
    """`expires_at` must stay behind `send_at`, whichever of the two is changed."""
    for document in documents:
        send_at = change.get("send_at", document.get("send_at"))
        expires_at = change.get("expires_at", document.get("expires_at"))
        if send_at and expires_at and expires_at <= send_at:
            pointer = "/expires_at" if "expires_at" in change else "/send_at"
            raise Invalid.at(pointer, "too_early", "expires_at must be later than send_at.")


async def cancel_communication(call: Call) -> Answer:
    """Cancel what is not being sent or finished."""
    client_id = call.caller.client.id
    target = await call.services.reading.target(client_id, id_in_path(call))
    before = {r: d["status"] for r, d in target.documents.items() if r in frozenset(target.results)}
    after = await call.services.communications.cancel(
        client_id, target.results, metadata={"reason": "api"}
    )
    changed = {
        result
        for result, item in after.items()
        if item.status is Status.CANCELLED and before.get(result) != Status.CANCELLED
    }
    return _per_recipient(call, after, changed)


def _per_recipient(
    call: Call, after: Mapping[ResultId, WorkItem], changed: set[ResultId]
) -> Answer:
    if not changed:
        states = sorted({item.status.value for item in after.values()})
        raise TooLate(f"Nothing could be changed: {', '.join(states)}.")
    return json_answer(
        {
            "id": call.path("id"),
            "recipients": [
                {
                    "id": text_of(result),
                    "status": item.status.value,
                    "changed": result in changed,
                    "send_at": item.send_at,
                    "expires_at": item.expires_at,
                    "priority": item.priority.word,
                }
                for result, item in after.items()
            ],
        }
    )
