"""The mailbox's pages and its small JSON interface, for whoever sits at this machine.

What a message holds is hostile: its HTML is shown in a frame that may do nothing, and the page
loads images from this machine only (where the platform's own tracking answers).
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cdp.domain.ids import id_from_text, text_of
from cdp.embedded.mailbox_message import open_message
from cdp.embedded.mailbox_receivers import Receivers
from cdp.embedded.mailbox_rules import EXPLANATIONS
from cdp.embedded.mailbox_smtp import Gate, Intake
from cdp.errors import OutcomeUnknown
from cdp.storage.mailbox import MailboxEntry, MailboxMessages

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
VIEWS: Final = ("html", "text", "headers", "raw")
SHOWN_BYTES_MAX: Final = 1024 * 1024
"""Of a part that stands in a page; the download has all of it."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; "
        "img-src data: http://127.0.0.1:* http://localhost:*; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Pages:
    """The handlers of all routes."""

    def __init__(self, messages: MailboxMessages, gate: Gate) -> None:
        self._messages = messages
        self._gate = gate
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
        )
        self._templates.filters["size"] = _size
        self._templates.filters["day"] = _day
        self._templates.filters["clock"] = _clock

    def routes(self) -> list[Route]:
        """Every path, with its handler."""
        return [
            Route("/", self.inbox),
            Route("/messages/{id}", self.message),
            Route("/messages/{id}/raw", self.raw),
            Route("/api/messages", self.list_messages),
            Route("/api/messages/{id}", self.get_message),
            Route("/api/count", self.count),
            Route("/api/pause", self.pause, methods=["POST"]),
            Route("/api/resume", self.resume, methods=["POST"]),
        ]

    async def inbox(self, request: Request) -> Response:
        """The list, as a page."""
        to = request.query_params.get("to") or None
        entries, cursor = await self._page(request, to)
        return self._html(
            "mailbox_list.html",
            entries=[_shown(entry) for entry in entries],
            cursor=cursor,
            first=not request.query_params.get("cursor"),
            to=to or "",
            count=await self._messages.count(to=to),
            paused=self._gate.paused,
            rules=EXPLANATIONS,
        )

    async def message(self, request: Request) -> Response:
        """One message, as a page."""
        entry, raw = await self._found(request)
        opened = open_message(raw)
        default = "html" if opened.html is not None else "text"
        view = request.query_params.get("view", default)
        if view not in VIEWS:
            raise HTTPException(404)
        return self._html(
            "mailbox_message.html",
            entry=_shown(entry),
            opened=opened,
            view=view,
            # Only an email may have HTML.
            views=VIEWS if entry.channel == "email" else VIEWS[1:],
            html=_cut(opened.html),
            text=_cut(_in_lines(opened.text) if entry.channel == "webhook" else opened.text),
            raw=_cut(raw.decode("utf-8", "replace")) if view == "raw" else "",
        )

    async def raw(self, request: Request) -> Response:
        """One message, byte by byte."""
        _, raw = await self._found(request)
        return PlainTextResponse(raw)

    async def list_messages(self, request: Request) -> Response:
        """`GET /api/messages?to=&limit=&cursor=`: the newest first."""
        entries, cursor = await self._page(request, request.query_params.get("to") or None)
        return JSONResponse({"items": [_shown(entry) for entry in entries], "next_cursor": cursor})

    async def get_message(self, request: Request) -> Response:
        """One message with its parts and its bytes as text."""
        entry, raw = await self._found(request)
        opened = open_message(raw)
        return JSONResponse(
            {
                **_shown(entry),
                "headers": opened.headers,
                "text": opened.text,
                "html": opened.html,
                "links": opened.links,
                "attachments": [
                    {"name": item.name, "content_type": item.content_type, "size": item.size}
                    for item in opened.attachments
                ],
                "raw": raw.decode("utf-8", "replace"),
            }
        )

    async def count(self, request: Request) -> Response:
        """`GET /api/count?to=`."""
        to = request.query_params.get("to") or None
        return JSONResponse({"count": await self._messages.count(to=to)})

    async def pause(self, request: Request) -> Response:
        """Make the SMTP side fall silent."""
        _refuse_other_sites(request)
        self._gate.pause()
        return JSONResponse({"paused": True})

    async def resume(self, request: Request) -> Response:
        """Make the SMTP side answer again."""
        _refuse_other_sites(request)
        self._gate.resume()
        return JSONResponse({"paused": False})

    async def _page(
        self, request: Request, to: str | None
    ) -> tuple[list[MailboxEntry], str | None]:
        query = request.query_params
        try:
            limit = int(query.get("limit", LIMIT_DEFAULT))
            before = id_from_text(query["cursor"]) if query.get("cursor") else None
        except ValueError as error:
            raise HTTPException(
                400, "limit is a number, cursor is what came with a page"
            ) from error
        if not 1 <= limit <= LIMIT_MAX:
            raise HTTPException(400, f"limit is between 1 and {LIMIT_MAX}")
        entries = await self._messages.newest(to=to, before=before, limit=limit + 1)
        more = len(entries) > limit
        entries = entries[:limit]
        return entries, text_of(entries[-1].id) if more else None

    async def _found(self, request: Request) -> tuple[MailboxEntry, bytes]:
        try:
            message_id = id_from_text(request.path_params["id"])
        except ValueError as error:
            raise HTTPException(404) from error
        found = await self._messages.get(message_id)
        if found is None:
            raise HTTPException(404)
        return found

    def _html(self, template: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(**values))


def application(messages: MailboxMessages, intake: Intake, gate: Gate) -> Starlette:
    """The ASGI application of the mailbox's HTTP port."""
    return Starlette(
        routes=[*Pages(messages, gate).routes(), *Receivers(intake, gate).routes()],
        middleware=[
            # A site elsewhere whose name is made to lead to this machine must not read the mail.
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
            Middleware(_Headers),
        ],
        exception_handlers={OutcomeUnknown: _without_database},
    )


class _Headers:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _without_database(request: Request, error: Exception) -> Response:
    return PlainTextResponse("MongoDB does not answer; try again in a moment.", status_code=503)


def _refuse_other_sites(request: Request) -> None:
    """A browser names the site that a POST comes from; programs do not send this header."""
    origin = request.headers.get("origin")
    if origin is not None and origin != str(request.base_url).rstrip("/"):
        raise HTTPException(403)


def _shown(entry: MailboxEntry) -> dict[str, Any]:
    return {
        "id": text_of(entry.id),
        "received_at": entry.received_at.isoformat(timespec="milliseconds"),
        "mail_from": entry.mail_from,
        "rcpt_to": list(entry.rcpt_to),
        "message_id": entry.message_id,
        "subject": entry.subject,
        "size": entry.size,
        "channel": entry.channel,
    }


def _in_lines(text: str | None) -> str | None:
    """JSON with a line for each value; anything else as it is."""
    try:
        return orjson.dumps(orjson.loads(text or ""), option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return text


def _cut(text: str | None) -> str:
    return (text or "")[:SHOWN_BYTES_MAX]


def _size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    if count < 1024 * 1024:
        return f"{count / 1024:.1f} kB"
    return f"{count / 1024 / 1024:.1f} MB"


def _day(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d}"


def _clock(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%H:%M:%S}"
