"""`/dead-letters`: what was given up, why, and once more."""

from typing import Any, Final

from cdp.domain.dead_letter import (
    REPLAY_MAX,
    DeadLetterFilter,
    DeadLetterPlace,
    ReasonCount,
)
from cdp.domain.delivery_result import WorkItem
from cdp.domain.failure import ErrorClass
from cdp.domain.failure_report import FailureReport
from cdp.domain.ids import ResultId, id_from_text, text_of
from cdp.domain.lane import Priority
from cdp.errors import CdpError, Invalid
from cdp.http.admission import require_live
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.dead_letter_models import DeadLetterFilterIn, ReplayIn
from cdp.http.json_body import json_body
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import QueryReader, known_parameters
from cdp.http.views import failure_report_view, result_view
from cdp.services.dead_letter_service import DeadLetter, is_dead

FILTERS: Final = frozenset(
    {
        "class", "reason", "provider", "campaign", "channel", "created_from", "created_to",
        "failed_from", "failed_to",
    }
)  # fmt: skip


async def list_dead_letters(call: Call) -> Answer:
    """A page of dead letters, the newest failure first."""
    known_parameters(call, FILTERS | {"limit", "cursor"})
    limit = limit_of(call)
    wanted = _filter_of(call)
    named = sorted((name, text) for name, text in call.query.items() if name in FILTERS)
    scope = f"dead-letters:{named}"
    cursor = cursor_of(call, scope)
    page = await call.services.dead_letters.page(
        call.caller.client.id,
        wanted,
        after=None if cursor is None else DeadLetterPlace.from_bytes(cursor),
        limit=limit + 1,
    )
    return json_answer(
        page_of(
            call,
            scope,
            page,
            limit=limit,
            position=lambda letter: letter.place.to_bytes(),
            view=dead_letter_view,
        )
    )


async def summarise_dead_letters(call: Call) -> Answer:
    """How many there are for each reason."""
    known_parameters(call, FILTERS)
    counts = await call.services.dead_letters.summary(call.caller.client.id, _filter_of(call))
    return json_answer(
        {
            "total": sum(each.count for each in counts),
            "items": [_count_view(each) for each in counts],
        }
    )


async def replay_dead_letters(call: Call) -> Answer:
    """Open dead letters again."""
    given = await json_body(call, ReplayIn)
    _require_one_choice(given)
    require_live(call.caller)
    service, client = call.services.dead_letters, call.caller.client
    if given.ids is not None:
        ids = [ResultId(id_from_text(text)) for text in dict.fromkeys(given.ids)]
        found = await service.items(client.id, ids)
        looked_at, more = [found[i] for i in ids if i in found], False
        unknown = [i for i in ids if i not in found]
    else:
        limit, wanted = given.limit or REPLAY_MAX, filter_in(given.filter or DeadLetterFilterIn())
        oldest = await service.oldest(client.id, wanted, limit=limit + 1)
        looked_at, more, unknown = oldest[:limit], len(oldest) > limit, []
    replayed = await _replay(call, looked_at)
    entries = {item.result_id: _replayed_view(item, opened) for item, opened in replayed}
    entries |= {i: {"id": text_of(i), "outcome": "not_found", "status": None} for i in unknown}
    return json_answer(
        {
            "replayed": sum(opened for _, opened in replayed),
            "more": more,
            "items": list(entries.values()),
        }
    )


async def _replay(call: Call, items: list[WorkItem]) -> list[tuple[WorkItem, bool]]:
    """Replay as new work, which the client's and the platform's limits hold for."""
    services, client = call.services, call.caller.client
    dead = sum(map(is_dead, items))
    if dead:
        services.backlog.admit(client, dead, Priority.NORMAL)
    try:
        replayed = await services.dead_letters.replay(items, by=f"key {call.caller.key_id}")
    except CdpError:
        services.backlog.release(client, dead)
        raise
    opened = [item for item, is_opened in replayed if is_opened]
    services.backlog.release(client, dead - len(opened))
    services.hint(opened)
    return replayed


def _require_one_choice(given: ReplayIn) -> None:
    if given.ids is None and given.filter is None:
        raise Invalid.at("/filter", "missing", "Give ids or a filter; an empty filter is for all.")
    if given.ids is not None and given.filter is not None:
        raise Invalid.at("/filter", "excluded", "Give either ids or a filter, not both.")
    if given.ids is not None and given.limit is not None:
        raise Invalid.at("/limit", "excluded", "A limit goes with a filter only.")


def _filter_of(call: Call) -> DeadLetterFilter:
    reader = QueryReader(call.query)
    wanted = DeadLetterFilter(
        error_class=reader.read("class", ErrorClass, f"One of: {', '.join(ErrorClass)}."),
        reason=reader.text("reason"),
        provider=reader.text("provider"),
        campaign=reader.text("campaign"),
        channel=reader.text("channel"),
        created_from=reader.time("created_from"),
        created_to=reader.time("created_to"),
        failed_from=reader.time("failed_from"),
        failed_to=reader.time("failed_to"),
    )
    reader.require_valid()
    return wanted


def filter_in(given: DeadLetterFilterIn) -> DeadLetterFilter:
    """What a body says of it."""
    return DeadLetterFilter(
        error_class=None if given.class_ is None else ErrorClass(given.class_),
        reason=given.reason,
        provider=given.provider,
        campaign=given.campaign,
        channel=given.channel,
        created_from=given.created_from,
        created_to=given.created_to,
        failed_from=given.failed_from,
        failed_to=given.failed_to,
    )


def dead_letter_view(letter: DeadLetter) -> dict[str, Any]:
    """A result with its failure in full."""
    failure = letter.result.failure
    assert failure is not None, "what was given up has a failure"
    report = FailureReport(failure=failure, detail=letter.detail)
    return {
        **result_view(letter.result),
        "failure": failure_report_view(report),
        "failed_at": letter.failed_at,
    }


def _count_view(each: ReasonCount) -> dict[str, Any]:
    return {
        "class": each.error_class.value,
        "reason": each.reason,
        "count": each.count,
        "first_failed_at": each.first_failed_at,
        "last_failed_at": each.last_failed_at,
    }


def _replayed_view(item: WorkItem, opened: bool) -> dict[str, Any]:
    return {
        "id": text_of(item.result_id),
        "outcome": "replayed" if opened else "not_dead_letter",
        "status": item.status.value,
    }
