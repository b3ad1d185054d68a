"""A real SMTP server on a loopback socket that does what a test tells it to.

    async with SmtpServer() as server:
        server.on(Phase.RCPT, reply("550 5.1.1 No such user"), recipient="gone@example.org")
        ...
        [message] = await server.received(1)

It speaks PIPELINING, SIZE, SMTPUTF8, AUTH and, given a certificate, TLS; it ends the content only
at CRLF.CRLF, as a server must (CVE-2023-51764). Plain enough to measure a client with.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from cdp.testing.smtp_session import (
    DROP,
    HANG,
    Answer,
    Phase,
    ReceivedMessage,
    SmtpSession,
    reply,
)

__all__ = ["DROP", "HANG", "Answer", "Phase", "ReceivedMessage", "SmtpServer", "reply"]


@dataclass(slots=True)
class _Rule:
    phase: Phase
    answer: Answer
    recipient: str | None
    times: int | None


class SmtpServer:
    """The server and what it saw. An asynchronous context manager.

    Args:
        tls: offers STARTTLS with this context, or TLS from the start if `is_tls_implicit`.
        credentials: user names and passwords; given, nothing is taken without one.
        keeps_messages: false to only count, as for a benchmark.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        is_tls_implicit: bool = False,
        credentials: dict[str, str] | None = None,
        keeps_messages: bool = True,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.extensions = ["PIPELINING", "SIZE 33554432", "8BITMIME", "SMTPUTF8"]
        self.mechanisms = "PLAIN LOGIN"
        self.accepts_data_for_nobody = False
        """Answers 354 although every recipient was refused, as RFC 2920 allows."""
        self.credentials = credentials
        self.messages: list[ReceivedMessage] = []
        self.messages_count = 0
        self.commands: list[str] = []
        self.connections_count = 0
        self.connections_peak = 0
        self.tls = tls
        self.is_tls_implicit = is_tls_implicit
        self.keeps_messages = keeps_messages
        self.sessions: set[SmtpSession] = set()
        self._rules: list[_Rule] = []
        self._listener: asyncio.Server | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.refuse_connections()
        self.cut_connections()
        await self.until(lambda: not self.sessions)

    async def listen(self) -> None:
        """Take connections, again on the same port after `refuse_connections`."""
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: SmtpSession(self),
            self.host,
            self.port,
            ssl=self.tls if self.is_tls_implicit else None,
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    def refuse_connections(self) -> None:
        """Take no new connections; those that are open stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def cut_connections(self) -> None:
        """Break all connections that are open."""
        for session in list(self.sessions):
            session.cut()

    def on(
        self,
        phase: Phase,
        answer: Answer,
        *,
        recipient: str | None = None,
        times: int | None = None,
    ) -> None:
        """Answer this way from now on, or so many times, or where this recipient is concerned."""
        self._rules.append(_Rule(phase, answer, recipient, times))

    def forget_rules(self) -> None:
        """Answer as usual again."""
        self._rules.clear()

    async def received(self, count: int, *, within_s: float = 10.0) -> list[ReceivedMessage]:
        """Wait for so many messages."""
        await self.until(lambda: self.messages_count >= count, within_s=within_s)
        return list(self.messages)

    async def until(self, condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
        """Wait until something that the server sees is so."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def answer_for(self, phase: Phase, recipients: list[str]) -> Answer | None:
        """The scripted answer, the newest rule first; asked by the sessions."""
        for rule in reversed(self._rules):
            if rule.phase == phase and (rule.recipient is None or rule.recipient in recipients):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self._rules.remove(rule)
                return rule.answer
        return None

    def note(self) -> None:
        """Something changed that a test may wait for."""
        self._changed.set()
