"""One connection to the scripted `SmtpServer`, and the script's words.

Commands are answered in order; while one is held, those that came with it wait.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cdp.testing.smtp_server import SmtpServer

COMMAND_BYTES_MAX: Final = 4_096
CONTENT_BYTES_MAX: Final = 64 * 1024 * 1024
_END: Final = b"\r\n.\r\n"


class Phase(StrEnum):
    """Where in a connection a scripted answer takes the place of the usual one."""

    CONNECT = "connect"
    HELLO = "hello"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"
    """The first bytes behind 354 have come, usually not all; what follows is not read."""
    DOT = "dot"
    """The whole message has come. It counts as received unless the answer refuses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server does instead: say something, wait, close, or nothing at all."""

    reply: str | None = None
    delay_s: float = 0.0
    closes: bool = False
    is_cut: bool = False
    """The reply is broken off in its middle, so it closes too."""


DROP: Final = Answer(closes=True)
HANG: Final = Answer()


def reply(text: str, *, closes: bool = False, delay_s: float = 0.0) -> Answer:
    """Say this, such as `451 4.3.0 Later`, perhaps late, and perhaps close then."""
    return Answer(reply=text, closes=closes, delay_s=delay_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMessage:
    """A message with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    """Without the dots that were stuffed."""
    parameters: str
    """What stood behind the sender in MAIL."""
    connection: int
    """Counted from 1."""
    is_tls: bool
    user: str | None


class SmtpSession(asyncio.Protocol):
    """One connection. Commands are answered in order; while one is held, the next ones wait."""

    def __init__(self, server: "SmtpServer") -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._take: Callable[[], bool] = self._take_command
        self._is_held = False
        self._number = 0
        self._is_tls = server.is_tls_implicit
        self._user: str | None = None
        self._login: list[str] = []
        self._sender: str | None = None
        self._parameters = ""
        self._recipients: list[str] = []
        self._tls_task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        server = self._server
        server.sessions.add(self)
        server.connections_count += 1
        server.connections_peak = max(server.connections_peak, len(server.sessions))
        self._number = server.connections_count
        server.note()
        self._answer(Phase.CONNECT, "220 smtp.test ESMTP")

    def connection_lost(self, exc: Exception | None) -> None:
        """Answer nothing more."""
        self._is_held = True
        self._server.sessions.discard(self)
        self._server.note()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._buffer += data
        self._pump()

    def cut(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _pump(self) -> None:
        while not self._is_held and self._take():
            pass

    def _answer(self, phase: Phase, usual: str, then: Callable[[], None] | None = None) -> None:
        """Say the usual or the scripted; `then` runs before a reply that is not a refusal."""
        answer = self._server.answer_for(phase, self._recipients) or Answer(reply=usual)
        self._give_in_time(answer, then)

    def _give_in_time(self, answer: Answer, then: Callable[[], None] | None) -> None:
        if answer.delay_s:
            self._is_held = True
            self._loop.call_later(answer.delay_s, self._give_late, answer, then)
        else:
            self._give(answer, then)

    def _give_late(self, answer: Answer, then: Callable[[], None] | None) -> None:
        if self not in self._server.sessions:
            return
        self._is_held = False
        self._give(answer, then)
        self._pump()

    def _give(self, answer: Answer, then: Callable[[], None] | None) -> None:
        assert self._transport is not None
        text = answer.reply
        if text is None:
            self._is_held = True
        else:
            if then is not None and text[0] in "23":
                then()
            end = "" if answer.is_cut else "\r\n"
            self._transport.write(f"{text}{end}".encode())
        if answer.closes or answer.is_cut:
            self._is_held = True
            self._transport.close()

    # Commands

    def _take_command(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > COMMAND_BYTES_MAX:
                self.cut()
            return False
        line = self._buffer[:end].decode("utf-8", "replace").rstrip("\r")
        del self._buffer[: end + 1]
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        if self._server.keeps_messages:
            self._server.commands.append(verb)
        handle = _COMMANDS.get(verb)
        if handle is None:
            self._answer_plainly("500 5.5.2 Unknown command")
        else:
            handle(self, argument)
        return True

    def _answer_plainly(self, text: str) -> None:
        self._give(Answer(reply=text), None)

    def _hello(self, argument: str) -> None:
        server = self._server
        words = ["smtp.test", *server.extensions]
        if server.tls is not None and not self._is_tls:
            words.append("STARTTLS")
        elif server.credentials is not None:
            words.append(f"AUTH {server.mechanisms}")
        lines = [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]
        self._answer(Phase.HELLO, "\r\n".join(lines), self._reset)

    def _start_tls(self, argument: str) -> None:
        if self._server.tls is None or self._is_tls:
            self._answer_plainly("502 5.5.1 Not offered")
            return
        self._answer(Phase.STARTTLS, "220 2.0.0 Go ahead", self._begin_tls)

    def _begin_tls(self) -> None:
        self._is_held = True
        self._buffer.clear()
        self._tls_task = self._loop.create_task(self._shake_hands())

    async def _shake_hands(self) -> None:
        assert self._transport is not None
        assert self._server.tls is not None
        try:
            transport = await self._loop.start_tls(
                self._transport, self, self._server.tls, server_side=True
            )
        except OSError:
            transport = None
        if transport is None:
            # The event loop does not tell the protocol of a handshake that failed.
            self.cut()
            self.connection_lost(None)
            return
        self._transport = transport
        self._is_tls = True
        self._is_held = False
        self._pump()

    def _authenticate(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        self._login.clear()
        if mechanism.upper() == "PLAIN" and initial:
            parts = _unbase64(initial).split("\0")
            self._check(*(parts[1:] if len(parts) == 3 else ("", "")))
        elif mechanism.upper() == "LOGIN":
            self._take = self._take_login
            self._answer_plainly("334 VXNlcm5hbWU6")
        else:
            self._answer_plainly("504 5.5.4 No such mechanism")

    def _take_login(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            return False
        self._login.append(_unbase64(self._buffer[:end].decode("ascii", "replace")))
        del self._buffer[: end + 1]
        if len(self._login) == 1:
            self._answer_plainly("334 UGFzc3dvcmQ6")
        else:
            self._take = self._take_command
            self._check(*self._login)
        return True

    def _check(self, user: str, password: str) -> None:
        if user and (self._server.credentials or {}).get(user) == password:
            self._user = user
            self._answer(Phase.AUTH, "235 2.7.0 Welcome")
        else:
            self._answer(Phase.AUTH, "535 5.7.8 Wrong user name or password")

    def _mail(self, argument: str) -> None:
        if self._server.credentials is not None and self._user is None:
            self._answer_plainly("530 5.7.0 Authenticate first")
            return
        if self._sender is not None:
            self._answer_plainly("503 5.5.1 A message is under way")
            return
        path, _, self._parameters = argument.partition("<")[2].partition(">")

        def begin() -> None:
            self._sender = path

        self._answer(Phase.MAIL, "250 2.1.0 Ok", begin)

    def _rcpt(self, argument: str) -> None:
        if self._sender is None:
            self._answer_plainly("503 5.5.1 Sender first")
            return
        recipient = argument.partition("<")[2].partition(">")[0]
        answer = self._server.answer_for(Phase.RCPT, [recipient]) or Answer(reply="250 2.1.5 Ok")

        def keep() -> None:
            self._recipients.append(recipient)

        self._give_in_time(answer, keep)

    def _data(self, argument: str) -> None:
        if not self._recipients and not self._server.accepts_data_for_nobody:
            self._answer_plainly("554 5.5.1 No valid recipients")
            return
        self._answer(Phase.DATA, "354 End with a dot", self._expect_content)

    def _rset(self, argument: str) -> None:
        self._reset()
        self._answer_plainly("250 2.0.0 Ok")

    def _noop(self, argument: str) -> None:
        self._answer_plainly("250 2.0.0 Ok")

    def _quit(self, argument: str) -> None:
        self._give(Answer(reply="221 2.0.0 Bye", closes=True), None)

    def _reset(self) -> None:
        self._sender = None
        self._recipients = []

    # Content

    def _expect_content(self) -> None:
        # The line end of the DATA command counts: content may be no more than the dot.
        self._buffer[:0] = b"\r\n"
        self._searched = 0
        self._take = self._take_content

    def _take_content(self) -> bool:
        if len(self._buffer) <= 2:
            return False
        if self._searched == 0:
            answer = self._server.answer_for(Phase.CONTENT, self._recipients)
            if answer is not None:
                self._stop_reading(answer)
                return False
        end = self._buffer.find(_END, self._searched)
        if end < 0:
            self._searched = max(1, len(self._buffer) - len(_END) + 1)
            if len(self._buffer) > CONTENT_BYTES_MAX:
                self.cut()
            return False
        content = bytes(self._buffer[2 : end + 2])
        del self._buffer[: end + len(_END)]
        self._take = self._take_command
        self._finish(content)
        return True

    def _stop_reading(self, answer: Answer) -> None:
        assert self._transport is not None
        self._is_held = True
        self._transport.pause_reading()
        if answer.reply is not None:
            self._transport.write(f"{answer.reply}\r\n".encode())
        if answer.closes:
            self.cut()

    def _finish(self, content: bytes) -> None:
        server = self._server
        if not self._recipients:
            self._reset()
            self._answer_plainly("554 5.5.1 No valid recipients")
            return
        scripted = server.answer_for(Phase.DOT, self._recipients)
        if scripted is None or (scripted.reply or "2")[0] == "2":
            server.messages_count += 1
            if server.keeps_messages:
                server.messages.append(self._message(content))
        answer = scripted or Answer(reply=f"250 2.0.0 Ok: queued as Q{server.messages_count:08d}")
        self._reset()
        server.note()
        self._give_in_time(answer, None)

    def _message(self, content: bytes) -> ReceivedMessage:
        if content.startswith(b"."):
            content = content[1:]
        return ReceivedMessage(
            sender=self._sender or "",
            recipients=tuple(self._recipients),
            content=content.replace(b"\r\n.", b"\r\n"),
            parameters=self._parameters.strip(),
            connection=self._number,
            is_tls=self._is_tls,
            user=self._user,
        )


_COMMANDS: Final[dict[str, Callable[[SmtpSession, str], None]]] = {
    "EHLO": SmtpSession._hello,
    "HELO": SmtpSession._hello,
    "STARTTLS": SmtpSession._start_tls,
    "AUTH": SmtpSession._authenticate,
    "MAIL": SmtpSession._mail,
    "RCPT": SmtpSession._rcpt,
    "DATA": SmtpSession._data,
    "RSET": SmtpSession._rset,
    "NOOP": SmtpSession._noop,
    "QUIT": SmtpSession._quit,
}


def _unbase64(text: str) -> str:
    try:
        return base64.b64decode(text.strip()).decode("utf-8", "replace")
    except binascii.Error:
        return ""
