"""The mailbox's SMTP side: takes messages, and answers 250 only when they are durable.

Messages that come while a group is being written make up the next group: under load one write
serves many, and a lone message never waits for a timer.
"""

import asyncio
import contextlib
import email.errors
import email.header
import functools
import logging
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Any, Final, Protocol

from aiosmtpd.smtp import SMTP, Envelope, Session

from cdp.domain.ids import RANDOM_BYTES, uuid7
from cdp.embedded.mailbox_rules import (
    LATER,
    SLOW_S,
    Attempts,
    answer_to_recipient,
    tags_of_all,
)
from cdp.errors import OutcomeUnknown
from cdp.storage.mailbox import MailboxEntry

MESSAGE_BYTES_MAX: Final = 25 * 1024 * 1024
CONNECTIONS_MAX: Final = 200
WAITING_MAX: Final = 500
GROUP_BYTES_MAX: Final = 32 * 1024 * 1024
HEADER_CHARS_MAX: Final = 500
NULL_SENDER: Final = "<>"

TAKEN: Final = "250 2.0.0 Kept"
NOT_KEPT: Final = "451 4.3.0 The mailbox cannot keep this now"

log = logging.getLogger(__name__)


class Gate:
    """Closed, the mailbox stops answering: connections stay open and nothing comes."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    @property
    def paused(self) -> bool:
        """Whether it is closed."""
        return not self._open.is_set()

    def pause(self) -> None:
        """Stop answering."""
        self._open.clear()

    def resume(self) -> None:
        """Answer again, also what has waited."""
        self._open.set()

    async def passed(self) -> None:
        """Return when it is open."""
        await self._open.wait()


class Keeping(Protocol):
    """What keeps messages: `cdp.storage.mailbox.MailboxMessages`."""

    async def add(self, messages: Sequence[tuple[MailboxEntry, bytes]]) -> None:
        """Keep them; when it returns, they are durable."""


class Intake:
    """Writes messages in groups. `run` is its loop; `keep` returns when a message is durable."""

    def __init__(self, messages: Keeping) -> None:
        self._messages = messages
        self._waiting: asyncio.Queue[tuple[MailboxEntry, bytes, asyncio.Future[None]]] = (
            asyncio.Queue(WAITING_MAX)
        )
        self._next: tuple[MailboxEntry, bytes, asyncio.Future[None]] | None = None

    async def keep(self, entry: MailboxEntry, raw: bytes) -> None:
        """Keep one message.

        Raises:
            OutcomeUnknown: it may have been kept or not.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._waiting.put((entry, raw, done))
        await done

    async def run(self) -> None:
        """Write what waits, group by group, until cancelled."""
        while True:
            group = await self._group()
            try:
                await self._messages.add([(entry, raw) for entry, raw, _ in group])
            except OutcomeUnknown as error:
                self._settle(group, error)
            except Exception as error:
                # The loop must outlive a fault: the senders hear 451 and come again.
                log.exception("the mailbox could not keep messages")
                self._settle(group, OutcomeUnknown(type(error).__name__))
            else:
                self._settle(group, None)

    async def idle(self) -> None:
        """Return when all that was handed in has been answered."""
        await self._waiting.join()

    async def _group(self) -> list[tuple[MailboxEntry, bytes, asyncio.Future[None]]]:
        first = self._next or await self._waiting.get()
        self._next = None
        group, group_bytes = [first], len(first[1])
        while not self._waiting.empty():
            item = self._waiting.get_nowait()
            group_bytes += len(item[1])
            if group_bytes > GROUP_BYTES_MAX:
                self._next = item
                break
            group.append(item)
        return group

    def _settle(
        self,
        group: list[tuple[MailboxEntry, bytes, asyncio.Future[None]]],
        error: OutcomeUnknown | None,
    ) -> None:
        for _, _, done in group:
            self._waiting.task_done()
            # The sender's connection may be gone, and the one who waited with it.
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)


class Handler:
    """What aiosmtpd asks at each command."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._soft = Attempts()
        self._dropped = Attempts()

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Take the sender."""
        # aiosmtpd takes an empty sender for none at RCPT; a bounce's sender is empty.
        envelope.mail_from = address or NULL_SENDER
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Take a recipient, or refuse it as its tags ask for."""
        assert envelope.mail_from is not None
        refusal = answer_to_recipient(address, envelope.mail_from, self._soft)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the message, unless its recipients' tags ask for trouble."""
        raw = envelope.content
        assert isinstance(raw, bytes)
        assert envelope.mail_from is not None
        entry = entry_of(raw, mail_from=envelope.mail_from, rcpt_to=envelope.rcpt_tos)
        tags = tags_of_all(entry.rcpt_to)
        key = (entry.mail_from, entry.rcpt_to, entry.message_id)
        cut = bool(tags & {"drop", "dropkept"}) and self._dropped.count(key) == 1
        if not cut or "dropkept" in tags:
            try:
                await self._intake.keep(entry, raw)
            except OutcomeUnknown:
                return NOT_KEPT
        if cut:
            _cut(server)
            return LATER
        if "slow" in tags:
            await asyncio.sleep(SLOW_S)
        return TAKEN


class MailboxSMTP(SMTP):
    """aiosmtpd's protocol, which can be made to fall silent, with a bound on connections."""

    open_connections: int = 0

    def __init__(self, handler: Handler, gate: Gate) -> None:
        super().__init__(
            handler,
            data_size_limit=MESSAGE_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname="mailbox.localhost",
            ident="CDP mailbox",
            loop=asyncio.get_running_loop(),
        )
        self._gate = gate
        self._turned_away = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away when there are too many."""
        MailboxSMTP.open_connections += 1
        if MailboxSMTP.open_connections > CONNECTIONS_MAX:
            assert isinstance(transport, asyncio.WriteTransport)
            self._turned_away = True
            transport.write(b"421 4.3.2 Too many connections\r\n")
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count it out."""
        MailboxSMTP.open_connections -= 1
        if not self._turned_away:
            super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Hand on what came, but not what comes after a refusal to talk."""
        if not self._turned_away:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on the end of what comes."""
        return False if self._turned_away else super().eof_received()

    async def push(self, status: Any) -> None:
        """Answer, when the gate is open."""
        await self._gate.passed()
        await super().push(status)


async def listen(port: int, intake: Intake, gate: Gate) -> asyncio.Server:
    """Open the SMTP port on the loopback address."""
    handler = Handler(intake)
    # One line a command, with addresses in it.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    factory = functools.partial(MailboxSMTP, handler, gate)
    return await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port)


def entry_of(raw: bytes, *, mail_from: str, rcpt_to: list[str]) -> MailboxEntry:
    """What the list shows of a message."""
    # Cut off first: the parser would decode the whole body too.
    head, _, _ = raw.partition(b"\r\n\r\n")
    headers = BytesHeaderParser(policy=compat32).parsebytes(head + b"\r\n\r\n")
    now_ms = time.time_ns() // 1_000_000
    return MailboxEntry(
        id=uuid7(unix_ms=now_ms, random_bytes=os.urandom(RANDOM_BYTES)),
        received_at=datetime.fromtimestamp(now_ms / 1000, UTC),
        mail_from="" if mail_from == NULL_SENDER else clean(mail_from),
        rcpt_to=tuple(map(clean, rcpt_to)),
        message_id=clean(str(headers.get("Message-ID", "")))[:HEADER_CHARS_MAX].strip(),
        subject=decoded(headers.get("Subject", ""))[:HEADER_CHARS_MAX],
        size=len(raw),
    )


def decoded(value: str | email.header.Header) -> str:
    """A header's text for people: encoded words decoded, whatever it holds."""
    with contextlib.suppress(email.errors.HeaderParseError, LookupError, ValueError):
        value = email.header.make_header(email.header.decode_header(value))
    return " ".join(clean(str(value)).split())


def clean(text: str) -> str:
    """Text that can be stored: bytes that were no UTF-8 become question marks."""
    return text.encode("utf-8", "replace").decode()


def _cut(server: SMTP) -> None:
    transport = server.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
