"""What the mailbox takes beside email: text messages, push notifications and webhooks, over HTTP.

Each is kept and shown like an email: its fields as headers, its content as the text. A webhook's
`webhook-id` stands for the Message-ID: whoever sent it finds it by that, and a repeat shows as one.
So all channels work on a machine that should send nothing out.

    POST /2010-04-01/Accounts/{account}/Messages.json    a text message, as Twilio takes it
    POST /push                                           a notification, from `push.mailbox`
    POST /hooks/{anything}                               a webhook; its URL is the recipient
"""

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdp.domain.ids import text_of, uuid7
from cdp.embedded.mailbox_smtp import Gate, Intake, clean
from cdp.storage.mailbox import MailboxEntry

BYTES_MAX: Final = 1024 * 1024
SUBJECT_CHARS_MAX: Final = 200
SENDERS_ID_CHARS_MAX: Final = 100
SHOWN_HEADERS: Final = ("content-type", "user-agent", "webhook-id", "webhook-timestamp",
                        "webhook-signature")  # fmt: skip


class Receivers:
    """The handlers of what comes in over HTTP."""

    def __init__(self, intake: Intake, gate: Gate) -> None:
        self._intake = intake
        self._gate = gate

    def routes(self) -> list[Route]:
        """Every path, with its handler."""
        return [
            Route("/2010-04-01/Accounts/{account}/Messages.json", self.sms, methods=["POST"]),
            Route("/push", self.push, methods=["POST"]),
            Route("/hooks/{path:path}", self.webhook, methods=["POST"]),
        ]

    async def sms(self, request: Request) -> Response:
        """Take a text message, as the Messages API of Twilio does."""
        body = await _body(request) or b""
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=20))
        if not fields.get("To") or not fields.get("Body"):
            code = 21604 if not fields.get("To") else 21602
            return JSONResponse({"code": code, "status": 400}, status_code=400)
        kept = await self._keep(
            "sms", sender=fields.get("From", ""), to=fields["To"], text=fields["Body"]
        )
        if kept is None:
            return _asleep()
        return JSONResponse({"sid": kept, "status": "queued"}, status_code=201)

    async def push(self, request: Request) -> Response:
        """Take a push notification."""
        body = await _body(request)
        try:
            given = orjson.loads(body or b"")
        except orjson.JSONDecodeError:
            given = None
        if not isinstance(given, dict) or not isinstance(given.get("token"), str):
            return JSONResponse({"error": "not a notification"}, status_code=400)
        title, text = str(given.get("title", "")), str(given.get("body", ""))
        more = {
            f"x-{name.replace('_', '-')}": str(given[name])
            for name in ("platform", "collapse_key", "ttl_s", "data")
            if given.get(name)
        }
        kept = await self._keep(
            "push", sender="", to=given["token"], text=f"{title}\n\n{text}", headers=more
        )
        return _asleep() if kept is None else JSONResponse({"id": kept})

    async def webhook(self, request: Request) -> Response:
        """Take a webhook."""
        body = await _body(request)
        if body is None:
            return Response(status_code=413)
        shown = {name: request.headers[name] for name in SHOWN_HEADERS if name in request.headers}
        kept = await self._keep(
            "webhook",
            sender="",
            to=str(request.url),
            subject=_type_of(body),
            text=body.decode("utf-8", "replace"),
            headers={f"x-{name}": value for name, value in shown.items()},
            senders_id=clean(shown.get("webhook-id", ""))[:SENDERS_ID_CHARS_MAX],
        )
        return _asleep() if kept is None else Response(status_code=204)

    async def _keep(
        self,
        channel: str,
        *,
        sender: str,
        to: str,
        text: str,
        subject: str = "",
        headers: Mapping[str, str] | None = None,
        senders_id: str = "",
    ) -> str | None:
        """Keep it as if it were an email; its id, or None while the mailbox is asleep."""
        if self._gate.paused:
            return None
        now = datetime.now(UTC)
        message_id = uuid7(unix_ms=time.time_ns() // 1_000_000, random_bytes=os.urandom(10))
        known = text_of(message_id)
        raw = _as_email(channel, sender=sender, to=to, text=text, headers=headers or {}, at=now)
        entry = MailboxEntry(
            id=message_id,
            received_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
            mail_from=clean(sender) or channel,
            rcpt_to=(clean(to),),
            message_id=f"{senders_id or known}@{channel}",
            subject=clean(subject or text.strip().partition("\n")[0])[:SUBJECT_CHARS_MAX],
            size=len(raw),
            channel=channel,
        )
        await self._intake.keep(entry, raw)
        return known


def _as_email(
    channel: str,
    *,
    sender: str,
    to: str,
    text: str,
    headers: Mapping[str, Any],
    at: datetime,
) -> bytes:
    message = EmailMessage()
    for name, value in {
        "X-Channel": channel,
        "From": sender,
        "To": to,
        "Date": at.isoformat(timespec="milliseconds"),
        **headers,
    }.items():
        if value:
            # As an unstructured header: a token or a URL is no address.
            message[f"X-{name}" if name in ("From", "To", "Date") else name] = clean(value)
    message.set_content(text)
    return message.as_bytes()


def _type_of(payload: bytes) -> str:
    """What a webhook calls itself, as Standard Webhooks has it: the word under `type`."""
    try:
        given = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return ""
    word = given.get("type") if isinstance(given, dict) else None
    return " ".join(word.split()) if isinstance(word, str) else ""


async def _body(request: Request) -> bytes | None:
    """The body, or None where it is too large."""
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > BYTES_MAX:
            return None
    return bytes(read)


def _asleep() -> Response:
    return Response(status_code=503)
