"""`/inbox`: what a user of a client's app sees of their in-app messages."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
from starlette.types import Receive, Send

from cdp.domain.ids import ResultId, id_from_text, text_of
from cdp.domain.inbox import Mark
from cdp.errors import BacklogFull, FieldError, Invalid
from cdp.http.answer import NO_SNIFF, NO_STORE, Answer, json_answer
from cdp.http.call import Call
from cdp.http.inbox_models import InboxMarkIn, InboxTokenIn
from cdp.http.json_body import json_body
from cdp.http.pagination import limit_of, make_cursor, read_cursor
from cdp.http.parameters import known_parameters
from cdp.http.problems import problem_answer
from cdp.ports.inbox import InboxEntry
from cdp.services.inbox_service import InboxUser, Listener

HEARTBEAT_S: Final = 15.0
RESUME_MAX: Final = 100
STREAM_S: Final = 3_600.0
"""After an hour a stream ends, and the page opens it anew with a fresh token."""

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
    scope = f"inbox:{user.user}:{sorted(flags.items())}"
    cursor, key = call.query.get("cursor"), call.services.cursor_key
    before = (
        None
        if cursor is None
        else read_cursor(cursor, client_id=user.client_id, scope=scope, key=key)
    )
    page = await call.services.inbox.page(user, **flags, before=before, limit=limit + 1)
    more = page[:limit]
    following = (
        make_cursor(more[-1].result_id, client_id=user.client_id, scope=scope, key=key)
        if len(page) > limit
        else None
    )
    return json_answer({"items": [entry_view(entry) for entry in more], "next_cursor": following})


async def count_unread(call: Call) -> Answer:
    """How many are unread."""
    known_parameters(call, frozenset({"user"}))
    return json_answer({"unread": await call.services.inbox.unread(call.recipient)})


async def mark_entries(call: Call) -> Answer:
    """Note that entries were seen, read, archived, or brought back."""
    known_parameters(call, frozenset({"user"}))
    given = await json_body(call, InboxMarkIn)
    ids, errors = [], []
    for index, text in enumerate(given.ids):
        try:
            ids.append(ResultId(id_from_text(text)))
        except ValueError:
            detail = "This is no id."
            errors.append(FieldError(pointer=f"/ids/{index}", code="id_invalid", detail=detail))
    if errors:
        raise Invalid(errors)
    found = await call.services.inbox.mark(call.recipient, ids, Mark(given.mark))
    unread = await call.services.inbox.unread(call.recipient)
    return json_answer({"marked": [text_of(each) for each in found], "unread": unread})


async def stream(call: Call) -> Answer:
    """New entries and changes of the count, as they come (Server-Sent Events)."""
    known_parameters(call, frozenset({"user"}))
    last = call.headers.get(b"last-event-id", b"").decode("latin-1")
    after = None
    if last:
        try:
            after = id_from_text(last)
        except ValueError:
            raise Invalid.at("Last-Event-ID", "id_invalid", "This is no id.") from None
    return EventStream(status=200, body=b"", call=call, after=after)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStream(Answer):
    """An answer that goes on until the reader leaves."""

    call: Call
    after: bytes | None
    """The last entry that the reader has; those after it come first."""

    async def send(self, send: Send) -> None:
        """Send events until the reader has gone, or it has lasted long enough."""
        try:
            await self._stream(send)
        except BacklogFull as error:
            await problem_answer(error).send(send)

    async def _stream(self, send: Send) -> None:
        with self.call.services.inbox_streams.listening(self.call.recipient) as listener:
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [
                        (b"content-type", b"text/event-stream; charset=utf-8"),
                        # For proxies that would gather what is meant to come at once.
                        (b"x-accel-buffering", b"no"),
                        NO_STORE,
                        NO_SNIFF,
                        *self.headers,
                    ],
                }
            )
            gone = asyncio.create_task(_until_gone(self.call.receive))
            try:
                async with asyncio.timeout(STREAM_S):
                    await self._send_events(send, listener, gone)
            except TimeoutError:
                pass
            finally:
                gone.cancel()
            await send({"type": "http.response.body", "body": b""})

    async def _send_events(
        self, send: Send, listener: Listener, gone: "asyncio.Task[None]"
    ) -> None:
        async for event in self._events(listener, gone):
            await send({"type": "http.response.body", "body": event, "more_body": True})

    async def _events(self, listener: Listener, gone: "asyncio.Task[None]") -> AsyncIterator[bytes]:
        service, user = self.call.services.inbox, self.call.recipient
        if self.after is not None:
            missed = await service.page(
                user, unread=False, archived=False, before=None, limit=RESUME_MAX
            )
            for entry in reversed([e for e in missed if e.result_id > self.after]):
                yield _event("entry", entry_view(entry), number=text_of(entry.result_id))
        yield _event("unread", {"unread": await service.unread(user)})
        while not gone.done():
            news = asyncio.create_task(listener.news.get())
            done, _ = await asyncio.wait(
                [news, gone], timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if news not in done:
                news.cancel()
                if gone not in done:
                    yield b": still here\n\n"
                continue
            new = {news.result()}
            while not listener.news.empty():
                new.add(listener.news.get_nowait())
            for entry in await service.find(user, [each for each in new if each is not None]):
                yield _event("entry", entry_view(entry), number=text_of(entry.result_id))
            yield _event("unread", {"unread": await service.unread(user)})


def _event(name: str, content: Any, *, number: str | None = None) -> bytes:
    known = b"" if number is None else f"id: {number}\n".encode()
    data = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return b"%bevent: %b\ndata: %b\n\n" % (known, name.encode(), data)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
