"""Sends email through one mail server, over a few connections that are kept open.

All `deliver` calls share the connections. A connection that is free takes the next message from
the next call in turn, so a call with one message waits for one message of every other call and
never for a whole batch. A connection is a coroutine; a message is not.

The number of connections follows what the host says: 421 or 4.7.x halves it, and every fifty
accepted messages, with a pause between, give one back.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from cdp.ports.provider import (
    Accepted,
    EmailMessage,
    FailureClass,
    Outcome,
    Provider,
    ProviderTools,
    Rejected,
    Report,
    Unknown,
)
from cdp.providers.email.classification import asks_for_slower_pace
from cdp.providers.email.composer import Compose, Composer
from cdp.providers.email.dkim import Signer, private_key, signing
from cdp.providers.email.mime import build
from cdp.providers.email.smtp_connection import (
    ConnectionRefused,
    Envelope,
    SmtpAccount,
    SmtpConnection,
)
from cdp.providers.settings import OPERATORS_ONLY, ProviderSettings, refuse_operators_only
from cdp.providers.turns import NOT_STARTED, DeliverCall, Turns

__all__ = ["SmtpAccount", "SmtpProvider"]

ACCEPTED_BEFORE_GROWTH: Final = 50

_logger = logging.getLogger(__name__)


def _require_key(pem: SecretStr) -> SecretStr:
    private_key(pem.get_secret_value())
    return pem


DkimRecord = Annotated[
    str,
    Field(
        max_length=253,
        pattern=r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?\._domainkey\.[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
    ),
]
DkimKey = Annotated[SecretStr, AfterValidator(_require_key)]


class SmtpSettings(ProviderSettings):
    """A mail server and how to send through it."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(587, ge=1, le=65_535)
    security: Literal["none", "starttls", "tls"] = Field(
        "starttls", description="`none` sends in clear; the others verify the server."
    )
    username: str | None = Field(None, max_length=200)
    password: SecretStr | None = None
    connections_max: int = Field(8, ge=1, le=50)
    helo_name: str = Field(
        "localhost",
        max_length=253,
        pattern=r"^[A-Za-z0-9.:\[\]-]+$",
        description="What we call ourselves in EHLO; many servers want a name that leads back.",
    )
    tls_ca_file: str | None = Field(
        None,
        max_length=500,
        description="Whom to trust instead of the system's authorities.",
        json_schema_extra=OPERATORS_ONLY,
    )
    dkim_keys: dict[DkimRecord, DkimKey] = Field(
        {},
        max_length=50,
        description="Private keys in PEM, RSA with 2048 to 4096 bits or Ed25519, each under the "
        "name of its public key's record, `SELECTOR._domainkey.DOMAIN`. Emails from a domain, or "
        "from one below it, are signed with all of the domain's keys.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "SmtpSettings":
        if (self.username is None) != (self.password is None):
            raise ValueError("a user name needs a password, and a password a user name")
        try:
            self.account(public_only=True)
        except UnicodeError:
            raise ValueError("the host is not the name of one") from None
        return self

    def account(self, *, public_only: bool) -> SmtpAccount:
        """The mail server.

        Raises:
            ValueError: it can't be used so.
        """
        return SmtpAccount(
            host=self.host,
            port=self.port,
            security=self.security,
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
            connections_max=self.connections_max,
            helo_name=self.helo_name,
            tls_ca_file=self.tls_ca_file,
            public_only=public_only,
        )

    def signers(self) -> list[Signer]:
        """Who signs."""
        return [Signer.at(name, pem.get_secret_value()) for name, pem in self.dkim_keys.items()]


class SmtpProvider(Provider[EmailMessage]):
    """A `Provider` over SMTP.

    Args:
        compose: makes the bytes of a message; to sign them, wrap `mime.build`.
        ahead: whether to compose in a thread as well, which is worth it where RSA signs.
    """

    def __init__(
        self,
        account: SmtpAccount,
        *,
        compose: Compose = build,
        ahead: bool = False,
    ) -> None:
        self._account = account
        self._composer = Composer(compose, ahead_of=account.connections_max if ahead else None)
        self._tls = (
            None
            if account.security == "none"
            else ssl.create_default_context(cafile=account.tls_ca_file)
        )
        self._turns: Turns[EmailMessage] = Turns()
        self._pace = _Pace(account)
        self._senders: set[asyncio.Task[bool]] = set()
        self._connected = 0
        self._idle: dict[asyncio.Future[None], None] = {}
        self._is_closing = False

    Settings: ClassVar[type[ProviderSettings]] = SmtpSettings

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "SmtpProvider":
        """See `Adapter.open`."""
        refuse_operators_only(settings, tools)
        signers = settings.signers()
        return cls(
            settings.account(public_only=not tools.reach_private),
            compose=signing(signers) if signers else build,
            ahead=any(signer.is_rsa for signer in signers),
        )

    async def deliver(self, messages: Sequence[EmailMessage], report: Report[EmailMessage]) -> None:
        """Send all, and call `report` exactly once for each; see `Provider`."""
        assert not self._is_closing
        if not messages:
            return
        call = DeliverCall(messages, report)
        self._turns.add(call)
        self._recruit()
        try:
            with self._composer.ahead(call, messages):
                await call.done
        finally:
            call.close()
            self._turns.remove(call)

    async def close(self) -> None:
        """Say goodbye on all connections."""
        self._is_closing = True
        self._wake(len(self._idle))
        if self._senders:
            await asyncio.wait(self._senders)
        self._composer.close()

    def is_busy(self) -> bool:
        """Whether messages wait until others have been sent; see `Provider`."""
        return self._turns.waiting(up_to=1) > 0

    # Senders

    def _recruit(self) -> None:
        """Wake idle senders and start new ones, as many as there are messages for."""
        wanted = self._turns.waiting(up_to=self._account.connections_max)
        missing = wanted - self._wake(wanted)
        room = self._pace.connections - len(self._senders)
        for _ in range(min(missing, room)):
            sender = asyncio.get_running_loop().create_task(self._run_sender())
            self._senders.add(sender)
            sender.add_done_callback(self._discharge)

    def _discharge(self, sender: asyncio.Task[bool]) -> None:
        self._senders.discard(sender)
        if sender.cancelled():
            return
        if (error := sender.exception()) is not None:
            # A bug of ours outside of any message: those that wait must not wait for ever.
            _logger.error("smtp sender failed", exc_info=error)
            if not self._senders:
                self._turns.settle_all(Rejected(failure=FailureClass.TRANSIENT, code="internal"))
        elif sender.result() and not self._is_closing:
            self._recruit()

    def _wake(self, count: int) -> int:
        """Wake up to so many idle senders; returns how many."""
        woken = 0
        while woken < count and self._idle:
            # The one that was used last: its connection is the least likely to have died.
            future, _ = self._idle.popitem()
            if not future.done():
                future.set_result(None)
                woken += 1
        return woken

    async def _run_sender(self) -> bool:
        """One coroutine's life: connect, send what waits, be idle for a while, close.

        Returns:
            Whether another may take its place, should messages wait. Not after the host has
            refused the connection: that would be to knock without end.
        """
        while self._turns.waiting(up_to=1) and not self._is_surplus():
            connection = await self._connect()
            if connection is None:
                return False
            self._connected += 1
            try:
                await self._send_over(connection)
            finally:
                self._connected -= 1
                connection.quit()
        return True

    async def _send_over(self, connection: SmtpConnection) -> None:
        """Send until the connection is used up or no longer needed."""
        while connection.is_usable and not self._is_surplus():
            turn = self._turns.take()
            if turn is not None:
                await self._send(connection, *turn)
            elif self._is_closing or not await self._wait_for_work(connection):
                return

    def _is_surplus(self) -> bool:
        """Whether this sender is one too many, and leaves; the next one to ask is not."""
        if len(self._senders) <= self._pace.connections:
            return False
        self._leave()
        return True

    def _leave(self) -> None:
        """Count as gone from now on, not only when the task has ended."""
        sender = asyncio.current_task()
        assert sender is not None
        self._senders.discard(sender)

    async def _connect(self) -> SmtpConnection | None:
        """A connection, or none if the host gives none; then the last sender tells all."""
        seen = self._pace.changes
        try:
            return await SmtpConnection.open(self._account, self._tls)
        except ConnectionRefused as refused:
            outcome = refused.outcome
        _logger.warning(
            "smtp connection refused", extra={"host": self._account.host, "code": outcome.code}
        )
        # A host that takes some connections but not as many complains that way too.
        if self._connected or asks_for_slower_pace(outcome):
            self._pace.halve(seen)
        self._leave()
        if not self._senders:
            self._turns.settle_all(outcome)
        return None

    async def _wait_for_work(self, connection: SmtpConnection) -> bool:
        """Be idle until there is a message; false when that took too long, or it ended."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        self._idle[woken] = None
        connection.wire.on_end = wake
        timer = loop.call_later(self._account.idle_s, wake)
        try:
            await woken
        finally:
            timer.cancel()
            connection.wire.on_end = None
            self._idle.pop(woken, None)
        return self._turns.waiting(up_to=1) > 0

    async def _send(
        self, connection: SmtpConnection, call: DeliverCall[EmailMessage], message: EmailMessage
    ) -> None:
        """Send one message and report its outcome, whatever happens."""
        seen = self._pace.changes
        try:
            outcome = await self._attempt(connection, call, message)
        except Exception as error:
            # A bug of ours: nobody knows how far it came. The text may hold content: not logged.
            _logger.error("smtp send failed", extra={"error": type(error).__name__})
            connection.wire.abort()
            outcome = Unknown(code="internal")
        if outcome is None:
            self._turns.give_back(call, message)
            return
        if isinstance(outcome, Accepted):
            self._pace.note_accepted()
        elif isinstance(outcome, Rejected) and asks_for_slower_pace(outcome):
            self._pace.halve(seen)
        call.settle(message, outcome)

    async def _attempt(
        self, connection: SmtpConnection, call: DeliverCall[EmailMessage], message: EmailMessage
    ) -> Outcome | None:
        begin_before = call.begin_before(message)
        if asyncio.get_running_loop().time() >= begin_before:
            return NOT_STARTED
        try:
            envelope = Envelope(
                return_path=message.return_path, recipients=(message.to.email, *message.copies)
            )
            content = self._composer.take(call, message)
        except ValueError as error:
            return Rejected(failure=FailureClass.CONTENT, code="unsendable", answer=str(error))
        return await connection.send(envelope, content, begin_before=begin_before)


class _Pace:
    """How many connections the host is held to bear at the moment."""

    def __init__(self, account: SmtpAccount) -> None:
        self.connections = account.connections_max
        self.changes = 0
        """Counts the halvings, so that one complaint over many connections halves once."""
        self._connections_max = account.connections_max
        self._pause_s = account.growth_pause_s
        self._accepted = 0
        self._changed_at = 0.0

    def halve(self, seen: int) -> None:
        """The host has complained about what was begun when `changes` was `seen`."""
        self._accepted = 0
        self._changed_at = asyncio.get_running_loop().time()
        if seen == self.changes:
            self.changes += 1
            self.connections = max(1, self.connections // 2)

    def note_accepted(self) -> None:
        """Give one connection back after enough good messages and time."""
        if self.connections >= self._connections_max:
            return
        self._accepted += 1
        now = asyncio.get_running_loop().time()
        if self._accepted < ACCEPTED_BEFORE_GROWTH or now < self._changed_at + self._pause_s:
            return
        self.connections += 1
        self._accepted = 0
        self._changed_at = now
