"""`/inbox/stream`: new entries and changes of the count, as they come (Server-Sent Events).

The `id` of an event is the time up to which its reader has been told everything. It comes back as
`Last-Event-ID` when the reader opens the stream anew.
"""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from starlette.types import Receive, Send

from cdp.domain.inbox import moment_of, unix_ms
from cdp.errors import Invalid, OutcomeUnknown
from cdp.http.answer import NO_SNIFF, NO_STORE, Answer
from cdp.http.call import Call
from cdp.http.inbox import entry_view
from cdp.http.parameters import known_parameters
from cdp.services.inbox_streams import InboxStreams, Listener, Told

EVENT_STREAM: Final = b"text/event-stream"
REOPEN_MS: Final = 1_000
"""How long a reader is asked to wait before it opens a stream anew that has ended."""
_DIGITS_MAX: Final = 14


async def stream(call: Call) -> Answer:
    """A stream that begins with what has come since `Last-Event-ID`."""
    known_parameters(call, frozenset({"user"}))
    since = _since(call)
    if call.scope["method"] == "HEAD":
        return Answer(status=200, body=b"", content_type=EVENT_STREAM)
    streams = call.services.inbox_streams
    listener = await streams.open(call.recipient)
    return EventStream(
        status=200,
        body=b"",
        content_type=EVENT_STREAM,
        streams=streams,
        listener=listener,
        since=since,
        receive=call.receive,
    )


def _since(call: Call) -> datetime | None:
    given = call.headers.get(b"last-event-id", b"").decode("latin-1")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _DIGITS_MAX):
        raise Invalid.at("Last-Event-ID", "id_invalid", "This is not the id of an event.")
    return moment_of(int(given))


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStream(Answer):
    """An answer that goes on until its reader leaves or its time is over."""

    streams: InboxStreams
    listener: Listener
    since: datetime | None
    receive: Receive

    async def send(self, send: Send) -> None:
        """Send events as they come."""
        gone = asyncio.create_task(_until_gone(self.receive))
        gone.add_done_callback(lambda _: self.listener.end())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self._head()})
            await self._send_events(send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            self.streams.leave(self.listener)

    def _head(self) -> list[tuple[bytes, bytes]]:
        # The last is for proxies, which would gather what is meant to come at once.
        own = [(b"content-type", self.content_type), (b"x-accel-buffering", b"no")]
        return [*own, NO_STORE, NO_SNIFF, *self.headers]

    async def _send_events(self, send: Send) -> None:
        body = b"retry: %d\n\n" % REOPEN_MS
        try:
            async with aclosing(self.streams.follow(self.listener, since=self.since)) as all_told:
                async for told in all_told:
                    body += _events(told)
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    body = b""
        except OutcomeUnknown:
            # The stream ends here. Whoever opens it anew is refused for as long as MongoDB is away.
            return


def _events(told: Told) -> bytes:
    parts = []
    if told.is_behind:
        parts.append(_event("behind", {}))
    parts += [_event("entry", entry_view(entry)) for entry in told.entries]
    if told.unread is not None:
        parts.append(_event("unread", {"unread": told.unread}))
    # At the end, since only who got all of them has been told everything. Alone it is a heartbeat.
    parts.append(b"id: %d\n\n" % unix_ms(told.at))
    return b"".join(parts)


def _event(name: str, content: Any) -> bytes:
    data = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
