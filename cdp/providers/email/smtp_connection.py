"""One kept-open SMTP connection that always knows whether the final dot has gone out.

That knowledge is the reason for an own client: before the dot a message was certainly not taken
(`Rejected`), after it nobody can tell (`Unknown`). Commands are pipelined where the server allows
it (RFC 2920), which also makes it several times cheaper than a general client.

`SmtpProvider` opens connections and hands over one message at a time.
"""

import asyncio
import base64
import contextlib
import re
import ssl
from dataclasses import dataclass
from typing import Final, Literal

from cdp.channels.email import needs_smtputf8
from cdp.ports.provider import ANSWER_CHARS_MAX, Accepted, FailureClass, Outcome, Rejected, Unknown
from cdp.providers.email.classification import Reply, of_sender, rejected
from cdp.providers.email.smtp_wire import SmtpWire, WireLost
from cdp.providers.outbound import ForbiddenTarget, public_address

_ENVELOPE_UNSAFE: Final = re.compile("[\x00-\x20<>\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUEUE_ID: Final = re.compile(r"(?:queued as |\bid=|\bOk )([A-Za-z0-9._-]{6,})", re.IGNORECASE)

_IDLE_TOO_LONG: Final = "421 4.4.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpAccount:
    """A mail server and how to send through it."""

    host: str
    port: int = 587
    security: Literal["none", "starttls", "tls"] = "starttls"
    """`none` sends in clear: for a relay on the same machine. The others verify the server."""
    tls_ca_file: str | None = None
    """Certificates to trust instead of the system's."""
    username: str | None = None
    password: str | None = None
    connections_max: int = 8
    messages_per_connection_max: int = 1_000
    helo_name: str = "localhost"
    connect_timeout_s: float = 15.0
    """For the connection with TLS and greeting."""
    command_timeout_s: float = 60.0
    """For each reply before the content; RFC 5321 allows 300, which outlasts any lease."""
    content_timeout_s: float = 180.0
    """For handing the content to the network."""
    final_dot_timeout_s: float = 600.0
    """RFC 5321, section 4.5.3.2.6: giving up earlier makes doubles."""
    idle_s: float = 30.0
    growth_pause_s: float = 10.0
    """The least time between two steps back to the full number of connections."""
    public_only: bool = False
    """Whether the host comes from outside, and must not lead into a private network (rule A7)."""

    def __post_init__(self) -> None:
        if self.username is not None and self.password is None:
            raise ValueError("an SMTP account with a user name needs a password")
        if self.username is not None and self.security == "none" and not self._is_local:
            raise ValueError("an SMTP password is not sent in clear: choose starttls or tls")
        if self.connections_max < 1 or self.messages_per_connection_max < 1:
            raise ValueError("an SMTP account needs at least one connection and message")
        self.host.encode("idna")
        if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", self.helo_name):
            raise ValueError("the HELO name of an SMTP account is not a host name")

    def __repr__(self) -> str:
        return f"SmtpAccount(host={self.host!r}, port={self.port}, security={self.security!r})"

    @property
    def _is_local(self) -> bool:
        return self.host in {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who a message goes to, as SMTP sees it. The first recipient decides the outcome."""

    return_path: str
    recipients: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.recipients
        if any(map(_ENVELOPE_UNSAFE.search, (self.return_path, *self.recipients))):
            raise ValueError("an address of the envelope holds what a command may not hold")

    @property
    def needs_smtputf8(self) -> bool:
        """Whether an address has a non-ASCII local part."""
        return any(map(needs_smtputf8, (self.return_path, *self.recipients)))


class ConnectionRefused(Exception):
    """There is no connection to send over; `outcome` is that of every message waiting for it."""

    def __init__(self, outcome: Rejected) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


class SmtpConnection:
    """A connection after EHLO, TLS and AUTH that sends one message after the other."""

    def __init__(self, account: SmtpAccount) -> None:
        self.begun = 0
        """Messages that were begun over this connection."""
        self.wire = SmtpWire()
        self._account = account
        self._loop = asyncio.get_running_loop()
        self._extensions: dict[str, str] = {}
        self._in_transaction = False
        self._copies_refused = 0

    # Opening and closing

    @classmethod
    async def open(cls, account: SmtpAccount, tls: ssl.SSLContext | None) -> "SmtpConnection":
        """Connect, greet, secure and authenticate.

        Raises:
            ConnectionRefused: with the outcome of the messages that wait for a connection.
        """
        connection = cls(account)
        try:
            async with asyncio.timeout(account.connect_timeout_s):
                await connection._connect(tls)
                await connection._authenticate()
        except ConnectionRefused:
            connection.wire.abort()
            raise
        except ForbiddenTarget as error:
            connection.wire.abort()
            raise ConnectionRefused(_refusal(FailureClass.CONFIG, "target_forbidden")) from error
        except (OSError, WireLost) as error:
            connection.wire.abort()
            raise ConnectionRefused(_refusal_of(error)) from error
        except asyncio.CancelledError:
            connection.wire.abort()
            raise
        return connection

    async def _connect(self, tls: ssl.SSLContext | None) -> None:
        account = self._account
        at_once = account.security == "tls"
        host = await public_address(account.host) if account.public_only else account.host
        await self._loop.create_connection(
            lambda: self.wire,
            host,
            account.port,
            ssl=tls if at_once else None,
            server_hostname=account.host if at_once else None,
        )
        _require((await self.wire.receive(1, account.command_timeout_s))[0])
        await self._greet()
        if account.security == "starttls":
            await self._start_tls(tls)

    async def _start_tls(self, tls: ssl.SSLContext | None) -> None:
        assert tls is not None
        if "STARTTLS" not in self._extensions:
            raise ConnectionRefused(_refusal(FailureClass.CONFIG, "starttls_unsupported"))
        _require(await self._command("STARTTLS"))
        if self.wire.has_unread:
            # Clear text behind the reply would count as said under TLS (CVE-2011-0411).
            raise ConnectionRefused(_refusal(FailureClass.CONFIG, "starttls_injected"))
        await self.wire.start_tls(tls, self._account.host)
        await self._greet()

    async def _greet(self) -> None:
        reply = await self._command(f"EHLO {self._account.helo_name}")
        if reply.code in {500, 502}:
            reply = await self._command(f"HELO {self._account.helo_name}")
        _require(reply)
        words = (line.upper().partition(" ") for line in reply.lines[1:])
        self._extensions = {name: parameters for name, _, parameters in words}

    async def _authenticate(self) -> None:
        account = self._account
        if account.username is None:
            return
        user, password = account.username, account.password or ""
        mechanisms = self._extensions.get("AUTH", "").split()
        if "PLAIN" in mechanisms:
            reply = await self._command("AUTH PLAIN " + _base64(f"\0{user}\0{password}"))
        elif "LOGIN" in mechanisms:
            reply = await self._command("AUTH LOGIN")
            for answer in (user, password):
                if reply.code == 334:
                    reply = await self._command(_base64(answer))
        else:
            raise ConnectionRefused(_refusal(FailureClass.CONFIG, "auth_unsupported"))
        _require(reply)

    async def _command(self, line: str) -> Reply:
        self.wire.write(f"{line}\r\n".encode())
        return (await self.wire.receive(1, self._account.command_timeout_s))[0]

    def quit(self) -> None:
        """Say goodbye without waiting for the answer, and close."""
        self.wire.write(b"QUIT\r\n")
        self.wire.close()

    @property
    def is_usable(self) -> bool:
        """Whether a message may be begun."""
        return self.wire.is_in_step and self.begun < self._account.messages_per_connection_max

    # Sending

    async def send(
        self, envelope: Envelope, content: bytes, *, begin_before: float
    ) -> Outcome | None:
        """Send one message. Never raises for what a server or network does.

        Args:
            content: lines ending in CRLF, without any other CR or LF.
            begin_before: in the loop's time; later, the content is not begun.

        Returns:
            None if a connection used before turned out to have ended before the server said
            anything about this message, which may thus be sent over another.
        """
        assert self.is_usable
        refusal = self._unsendable(envelope, content)
        if refusal is not None:
            return refusal
        self.begun += 1
        try:
            refusal = await self._open_transaction(envelope)
        except WireLost as error:
            return _refusal(FailureClass.TRANSIENT, error.code) if self.begun == 1 else None
        if refusal is not None:
            is_stale = refusal.code == _IDLE_TOO_LONG and self.begun > 1
            return None if is_stale else refusal
        if self._loop.time() >= begin_before:
            self.wire.abort()
            return _refusal(FailureClass.TRANSIENT, "not_started")
        return await self._transfer(content)

    def _unsendable(self, envelope: Envelope, content: bytes) -> Rejected | None:
        if envelope.needs_smtputf8 and "SMTPUTF8" not in self._extensions:
            return _refusal(FailureClass.PERMANENT, "smtputf8_unsupported")
        size_max = self._extensions.get("SIZE", "")
        if size_max.isdigit() and 0 < int(size_max) < len(content):
            return _refusal(FailureClass.CONTENT, "message_too_big")
        return None

    async def _open_transaction(self, envelope: Envelope) -> Rejected | None:
        """MAIL, RCPT and DATA up to the server's 354.

        Raises:
            WireLost: the connection ended before the server said anything.
        """
        reset = ["RSET"] if self._in_transaction else []
        self._in_transaction = True
        options = " SMTPUTF8" if envelope.needs_smtputf8 else ""
        commands = [
            *reset,
            f"MAIL FROM:<{envelope.return_path}>{options}",
            *(f"RCPT TO:<{recipient}>" for recipient in envelope.recipients),
        ]
        # DATA goes along unless copies could be taken while the recipient itself is refused:
        # what the server then says 354 to would reach the copies.
        is_alone = len(envelope.recipients) == 1
        decisive = len(reset) + 2
        replies, lost = await self._converse(
            [*commands, "DATA"] if is_alone else commands, decisive
        )
        for number, reply in enumerate(replies[:decisive], start=1):
            if not reply.is_positive:
                await self._end_refused(replies)
                refusal = self._refused(reply)
                return refusal if number == decisive else of_sender(refusal)
        recipients_end = len(commands)
        self._copies_refused = sum(
            not reply.is_positive for reply in replies[decisive:recipients_end]
        )
        if lost is None and not is_alone:
            replies, lost = await self._converse(["DATA"], 1)
        if lost is not None:
            return _refusal(FailureClass.TRANSIENT, lost)
        return None if replies[-1].code == 354 else self._refused(replies[-1])

    async def _converse(self, commands: list[str], decisive: int) -> tuple[list[Reply], str | None]:
        """Send commands and read their replies, all at once if the server can do that.

        Without PIPELINING it ends at the first of the `decisive` commands that is refused.

        Returns:
            The replies, and why the connection was lost before the last of them.

        Raises:
            WireLost: there was no reply at all.
        """
        timeout_s = self._account.command_timeout_s
        replies: list[Reply] = []
        try:
            if "PIPELINING" in self._extensions:
                self.wire.write("".join([f"{command}\r\n" for command in commands]).encode())
                return await self.wire.receive(len(commands), timeout_s), None
            for command in commands:
                replies.append(await self._command(command))
                if len(replies) <= decisive and replies[-1].code >= 400:
                    break
        except WireLost as error:
            replies += self.wire.take()
            if not replies:
                raise
            return replies, error.code
        return replies, None

    async def _end_refused(self, replies: list[Reply]) -> None:
        """Close the DATA that a server allows though it refused the only recipient (RFC 2920)."""
        if replies[-1].code == 354:
            self.wire.write(b".\r\n")
            with contextlib.suppress(WireLost):
                await self.wire.receive(1, self._account.command_timeout_s)

    async def _transfer(self, content: bytes) -> Outcome:
        """The content, the final dot and the server's word on it."""
        account = self._account
        self.wire.write(_with_dots(content))
        try:
            is_out = await self.wire.flush(account.content_timeout_s)
        except WireLost as error:
            return _refusal(FailureClass.TRANSIENT, error.code)
        if not is_out:
            # The server replies though it has not got all: nothing more is sent.
            self.wire.abort()
        try:
            [reply] = await self.wire.receive(1, account.final_dot_timeout_s)
        except WireLost as error:
            return Unknown(code=f"{error.code}_after_dot")
        if 400 <= reply.code < 600:
            return self._refused(reply)
        if not reply.is_positive or not is_out:
            self.wire.abort()
            return Unknown(code="protocol_error", answer=reply.text)
        self._in_transaction = False
        queue_id = _QUEUE_ID.search(reply.lines[-1])
        answer = reply.text
        if self._copies_refused:
            answer = f"{self._copies_refused} copies refused; {answer}"[:ANSWER_CHARS_MAX]
        return Accepted(provider_message_id=queue_id[1] if queue_id else None, answer=answer)

    def _refused(self, reply: Reply) -> Rejected:
        if reply.code < 400:
            self.wire.abort()
            return _refusal(FailureClass.TRANSIENT, "protocol_error", reply.text)
        if reply.code == 421:
            # The server closes now; a message sent meanwhile would only find that out.
            self.wire.abort()
        return rejected(reply)


def _refusal(failure: FailureClass, code: str, answer: str = "") -> Rejected:
    return Rejected(failure=failure, code=code, answer=answer[:ANSWER_CHARS_MAX])


def _refusal_of(error: OSError | WireLost) -> Rejected:
    """The outcome of what waits for a connection that could not be opened."""
    match error:
        case WireLost():
            return _refusal(FailureClass.TRANSIENT, error.code)
        case ssl.SSLCertVerificationError():
            return _refusal(FailureClass.CONFIG, "tls_unverified", error.verify_message)
        case ssl.SSLError():
            return _refusal(FailureClass.TRANSIENT, "tls_failed", error.reason or "")
        case TimeoutError():
            return _refusal(FailureClass.TRANSIENT, "connect_timeout")
        case _:
            return _refusal(FailureClass.TRANSIENT, "connect_failed", error.strerror or "")


def _require(reply: Reply) -> None:
    """Refuse the connection on a refusal that is about us and not about a message."""
    if reply.is_positive:
        return
    if 400 <= reply.code < 500:
        raise ConnectionRefused(rejected(reply))
    code = f"{reply.code} {reply.enhanced}".rstrip()
    raise ConnectionRefused(_refusal(FailureClass.CONFIG, code, reply.text))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _with_dots(content: bytes) -> bytes:
    """The content as DATA carries it: dots stuffed, the final dot behind (RFC 5321, 4.5.2)."""
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    end = b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
    return content + end
