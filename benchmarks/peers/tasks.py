"""The peer's Celery side: read, render, claim, send, record.

Tuned: templates compiled once a process; one read, one durable commit before the send (content,
CONTENT_RESOLVED, QUEUED, DELIVERY_ATTEMPTED and the claim) and one after it (the outcome): fewer
would no longer tell an attempt that may have gone out from one that has not. A kept SMTP
connection and a kept database connection in each process, a MIME skeleton. Tasks are acknowledged
late; what is delivered a second time after a crash is attempted again, as at-least-once means.
"""

import smtplib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg  # type: ignore[import-not-found]
from celery.signals import worker_process_init, worker_ready
from jinja2 import Template
from jinja2.sandbox import SandboxedEnvironment

from benchmarks.peers import mime, records
from benchmarks.peers.broker import TASK, make_celery
from benchmarks.peers.records import Outcome
from benchmarks.peers.settings import PeerSettings
from benchmarks.workload import SENDER_ADDRESS, SENDER_NAME

_RETRIES: Final = 5
_SENDER: Final = f"{SENDER_NAME} <{SENDER_ADDRESS}>"
_DOMAIN: Final = SENDER_ADDRESS.partition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    subject: Template
    html: Template
    text: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """One rendered communication, about to be claimed and sent."""

    id: uuid.UUID
    attempt: int
    """How many were made before."""
    address: str
    message_id: str
    subject: str
    html: str
    text: str
    raw: bytes


class Deliverer:
    """All that one Celery child keeps open."""

    def __init__(self, settings: PeerSettings) -> None:
        self._connection = psycopg.connect(settings.dsn, autocommit=True)
        self._smtp_port = settings.smtp_port
        self._smtp: smtplib.SMTP | None = None
        self._templates: dict[tuple[str, str, int], _Compiled] = {}
        self._html = SandboxedEnvironment(autoescape=True)
        self._plain = SandboxedEnvironment(autoescape=False)

    def deliver(self, ids: Sequence[str]) -> list[str]:
        """Attempt these; returns the ids of those that failed and may be tried again."""
        rows = self._connection.execute(records.READ, {"ids": list(ids)}).fetchall()
        messages = [self._render(row) for row in rows]
        if not messages:
            return []
        won = self._claim(messages)
        outcomes = [self._send(each, attempt=won[each.id]) for each in messages if each.id in won]
        records.record_outcomes(self._connection, outcomes)
        return [str(each.id) for each in outcomes if each.status == "FAILED"]

    def _render(self, row: tuple[Any, ...]) -> _Message:
        (id_, _, client, attempt, address, name, locale, data, template_name, version) = row
        template = self._template(client, template_name, version)
        context = {"email": address, "name": name, "locale": locale, **data}
        subject = template.subject.render(context)
        html, text = template.html.render(context), template.text.render(context)
        message_id = f"<{id_}@{_DOMAIN}>"
        raw = mime.message(
            sender=_SENDER,
            to=address,
            subject=subject,
            message_id=message_id,
            text=text,
            html=html,
        )
        return _Message(
            id=id_,
            attempt=attempt,
            address=address,
            message_id=message_id,
            subject=subject,
            html=html,
            text=text,
            raw=raw,
        )

    def _template(self, client: str, name: str, version: int) -> _Compiled:
        key = (client, name, version)
        if key not in self._templates:
            values = {"client": client, "name": name, "version": version}
            row = self._connection.execute(records.TEMPLATE, values).fetchone()
            if row is None:
                raise LookupError(f"no template {name}, version {version}")
            self._templates[key] = _Compiled(
                subject=self._plain.from_string(row[0]),
                html=self._html.from_string(row[1]),
                text=self._plain.from_string(row[2]),
            )
        return self._templates[key]

    def _claim(self, messages: Sequence[_Message]) -> dict[uuid.UUID, int]:
        """Durable before anything is sent. Returns the number of the attempt, of those won."""
        rows = self._connection.execute(
            records.CLAIM,
            {
                "ids": [each.id for each in messages],
                "attempts": [each.attempt for each in messages],
                "senders": [_SENDER] * len(messages),
                "message_ids": [each.message_id for each in messages],
                "subjects": [each.subject for each in messages],
                "htmls": [each.html for each in messages],
                "texts": [each.text for each in messages],
            },
        ).fetchall()
        return dict(rows)

    def _send(self, message: _Message, *, attempt: int) -> Outcome:
        try:
            smtp = self._connected()
            smtp.sendmail(SENDER_ADDRESS, [message.address], message.raw)
        except (smtplib.SMTPException, OSError) as trouble:
            if not isinstance(
                trouble, smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused
            ):
                # The connection is of no more use; a refusal, though, leaves it as it was.
                self._smtp = None
            answer = str(trouble)[:200]
            return Outcome(id=message.id, attempt=attempt, status="FAILED", answer=answer)
        return Outcome(id=message.id, attempt=attempt, status="SUCCEEDED", answer="250")

    def _connected(self) -> smtplib.SMTP:
        if self._smtp is None:
            smtp = smtplib.SMTP("127.0.0.1", self._smtp_port, timeout=30)
            smtp.ehlo_or_helo_if_needed()
            self._smtp = smtp
        return self._smtp


settings = PeerSettings.from_environment()
app = make_celery(settings)
_deliverer: Deliverer | None = None


def _deliver(task: Any, ids: list[str]) -> None:
    assert _deliverer is not None
    failed = _deliverer.deliver(ids)
    if failed:
        task.retry(args=(failed,), countdown=2**task.request.retries, max_retries=_RETRIES)


app.task(_deliver, name=TASK, bind=True)


def _open_in_child(**_: Any) -> None:
    global _deliverer
    _deliverer = Deliverer(settings)


def _tell_ready(**_: Any) -> None:
    Path(settings.ready_file).touch()


worker_process_init.connect(_open_in_child)
worker_ready.connect(_tell_ready)
