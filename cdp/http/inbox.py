"""`/inbox`: what a user of a client's app sees of their in-app messages.

The live stream stands in `inbox_stream.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from cdp.domain.ids import ResultId, id_from_text, text_of
from cdp.domain.inbox import InboxPosition, InboxUser, Mark
from cdp.errors import FieldError, Invalid
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call, Handler
from cdp.http.inbox_models import InboxMarkIn, InboxTokenIn
from cdp.http.json_body import json_body
from cdp.http.pagination import limit_of, make_cursor, read_cursor
from cdp.http.parameters import id_in_path, known_parameters
from cdp.ports.inbox import InboxEntry
from cdp.services.inbox_service import Marked

_FLAGS: Final = ("unread", "archived")


async def mint_token(call: Call) -> Answer:
    """A token for one user."""
    given = await json_body(call, InboxTokenIn)
    user = InboxUser(client_id=call.caller.client.id, user=given.user)
    token, ends_at = call.services.inbox_tokens.mint(user, life=timedelta(seconds=given.life_s))
    return json_answer({"token": token, "user": given.user, "expires_at": ends_at}, status=201)


async def list_entries(call: Call) -> Answer:
    """A page of entries, the newest first."""
    known_parameters(call, frozenset({*_FLAGS, "user", "limit", "cursor"}))
    flags = {name: _flag(call, name) for name in _FLAGS}
    limit, user = limit_of(call), call.recipient
    scope = _scope(user, flags)
    found = await call.services.inbox.page(
        user, **flags, before=_position(call, scope), limit=limit + 1
    )
    page = found[:limit]
    following = _cursor(call, scope, page[-1]) if len(found) > limit else None
    return json_answer({"items": [entry_view(entry) for entry in page], "next_cursor": following})


def _scope(user: InboxUser, flags: Mapping[str, bool]) -> str:
    return f"inbox:{sorted(flags.items())}:{user.user}"


def _position(call: Call, scope: str) -> InboxPosition | None:
    cursor = call.query.get("cursor")
    if cursor is None:
        return None
    client_id, key = call.recipient.client_id, call.services.cursor_key
    return InboxPosition.unpacked(read_cursor(cursor, client_id=client_id, scope=scope, key=key))


def _cursor(call: Call, scope: str, last: InboxEntry) -> str:
    position = InboxPosition(at=last.created_at, result_id=last.result_id)
    return make_cursor(
        position.packed(),
        client_id=call.recipient.client_id,
        scope=scope,
        key=call.services.cursor_key,
    )


async def count_unread(call: Call) -> Answer:
    """How many are unread."""
    known_parameters(call, frozenset({"user"}))
    return json_answer({"unread": await call.services.inbox.unread(call.recipient)})


async def mark_entries(call: Call) -> Answer:
    """Note that entries were seen, read, archived, or brought back."""
    known_parameters(call, frozenset({"user"}))
    given = await json_body(call, InboxMarkIn)
    mark = Mark(given.mark)
    if given.up_to is None:
        return await _marked(
            call, await call.services.inbox.mark(call.recipient, _ids(given.ids), mark)
        )
    if given.ids:
        raise Invalid.at("/up_to", "excluded", "Name the entries, or the last of them.")
    if mark is Mark.UNARCHIVED:
        raise Invalid.at("/mark", "unfit", "Entries are brought back by their ids.")
    try:
        last = ResultId(id_from_text(given.up_to))
    except ValueError:
        raise Invalid.at("/up_to", "id_invalid", "This is no id.") from None
    return await _marked(call, await call.services.inbox.mark_up_to(call.recipient, last, mark))


def marking(mark: Mark) -> Handler:
    """A handler that notes this of the entry in the path."""

    async def mark_entry(call: Call) -> Answer:
        known_parameters(call, frozenset({"user"}))
        ids = [ResultId(id_in_path(call))]
        return await _marked(call, await call.services.inbox.mark(call.recipient, ids, mark))

    return mark_entry


async def _marked(call: Call, marked: Marked) -> Answer:
    unread = await call.services.inbox.unread(call.recipient)
    ids = [text_of(each) for each in marked.ids]
    return json_answer({"marked": ids, "has_more": marked.has_more, "unread": unread})


def _ids(given: Sequence[str]) -> list[ResultId]:
    if not given:
        raise Invalid.at("/ids", "missing", "Name the entries, or with up_to the last of them.")
    ids, errors = [], []
    for index, text in enumerate(given):
        try:
            ids.append(ResultId(id_from_text(text)))
        except ValueError:
            detail = "This is no id."
            errors.append(FieldError(pointer=f"/ids/{index}", code="id_invalid", detail=detail))
    if errors:
        raise Invalid(errors)
    return ids


def entry_view(entry: InboxEntry) -> dict[str, Any]:
    """An entry as the user's app gets it."""
    return {
        "id": text_of(entry.result_id),
        "title": entry.title,
        "body": entry.body,
        "action_url": entry.action_url,
        "action_label": entry.action_label,
        "data": dict(entry.data),
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "seen_at": entry.seen_at,
        "read_at": entry.read_at,
        "archived_at": entry.archived_at,
    }


def _flag(call: Call, name: str) -> bool:
    given = call.query.get(name, "false")
    if given not in ("true", "false"):
        raise Invalid.at(name, "invalid", "This is true or false.")
    return given == "true"
