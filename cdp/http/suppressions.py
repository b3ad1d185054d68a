"""`/suppressions`: who must not be written to, on which channel, about what."""

import contextlib
from typing import Any, Final

from cdp.channels.table import CHANNELS
from cdp.domain.ids import text_of
from cdp.domain.suppression import Suppression
from cdp.errors import CdpError
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.json_body import json_body
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import id_in_path, known_parameters
from cdp.http.problems import document_of
from cdp.http.suppression_models import SuppressionsIn
from cdp.http.suppression_rows import entry_of, recipient_on, suppression_view

SOURCE: Final = "api"

_NAMED: Final = ("channel", "recipient", "topic", "reason")


async def post_suppressions(call: Call) -> Answer:
    """Keep entries; nothing more is sent to them but what a worker had already."""
    given = await json_body(call, SuppressionsIn)
    now = call.services.clock.now()
    kept: list[Suppression] = []
    items: list[dict[str, Any]] = []
    for index, each in enumerate(given.entries):
        made = entry_of(call.caller.client.id, each, source=SOURCE, now=now)
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


async def list_suppressions(call: Call) -> Answer:
    """A page of entries."""
    known_parameters(call, frozenset({*_NAMED, "limit", "cursor"}))
    named: dict[str, str] = {name: call.query[name] for name in _NAMED if name in call.query}
    if named.get("channel") in CHANNELS and "recipient" in named:
        # No address of this channel: then there is none to be found either.
        with contextlib.suppress(ValueError):
            named["recipient"] = recipient_on(named["channel"], named["recipient"])
    limit, listing = limit_of(call), f"suppressions:{sorted(named.items())}"
    page = await call.services.suppressions.page(
        call.caller.client.id, named=named, after=cursor_of(call, listing), limit=limit + 1
    )
    return json_answer(
        page_of(call, listing, page, limit=limit, position=lambda e: e.id, view=suppression_view)
    )


async def get_suppression(call: Call) -> Answer:
    """One entry."""
    entry = await call.services.suppressions.find(call.caller.client.id, id_in_path(call))
    return json_answer(suppression_view(entry))


async def delete_suppression(call: Call) -> Answer:
    """Take an entry away. What it has stopped stays stopped."""
    await call.services.suppressions.delete(call.caller.client.id, id_in_path(call))
    return Answer(status=204, body=b"")
