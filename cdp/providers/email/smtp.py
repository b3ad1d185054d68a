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
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from cdp.ports.provider import (
    Accepted,
    EmailMessage,
    FailureClass,
    Outcome,
    Provider,
    Rejected,
    Report,
    Unknown,
)
from cdp.providers.email.classification import asks_for_slower_pace
from cdp.providers.email.mime import build
from cdp.providers.email.smtp_connection import (
    ConnectionRefused,
    Envelope,
    SmtpAccount,
    SmtpConnection,
)

__all__ = ["SmtpAccount", "SmtpProvider"]

ACCEPTED_BEFORE_GROWTH: Final = 50

_logger = logging.getLogger(__name__)
_NOT_STARTED: Final = Rejected(failure=FailureClass.TRANSIENT, code="not_started")


class SmtpProvider(Provider):
    """A `Provider` over SMTP.

    Args:
        compose: makes the bytes of a message; to sign them, wrap `mime.build`.
    """

    def __init__(
        self, account: SmtpAccount, *, compose: Callable[[EmailMessage], bytes] = build
    ) -> None:
        self._account = account
        self._compose = compose
        self._tls = (
            None
            if account.security == "none"
            else ssl.create_default_context(cafile=account.tls_ca_file)
        )
        self._turns = _Turns()
        self._pace = _Pace(account)
        self._senders: set[asyncio.Task[bool]] = set()
        self._connected = 0
        self._idle: dict[asyncio.Future[None], None] = {}
        self._is_closing = False

    async def deliver(self, messages: Sequence[EmailMessage], report: Report) -> None:
        """Send all, and call `report` exactly once for each; see `Provider`."""
        assert not self._is_closing
        if not messages:
            return
        call = _Call(messages, report)
        self._turns.add(call)
        self._recruit()
        try:
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
            _logger.error("smtp sender failed", extra={"error": type(error).__name__})
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

    async def _send(self, connection: SmtpConnection, call: "_Call", message: EmailMessage) -> None:
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
        self, connection: SmtpConnection, call: "_Call", message: EmailMessage
    ) -> Outcome | None:
        begin_before = call.begin_before(message)
        if asyncio.get_running_loop().time() >= begin_before:
            return _NOT_STARTED
        copies = (address.email for address in (*message.cc, *message.bcc))
        try:
            envelope = Envelope(
                return_path=message.return_path, recipients=(message.to.email, *copies)
            )
            content = self._compose(message)
        except ValueError as error:
            return Rejected(failure=FailureClass.CONTENT, code="unsendable", answer=str(error))
        return await connection.send(envelope, content, begin_before=begin_before)


class _Call:
    """One `deliver`: its messages that nobody has taken yet, and who hears of them."""

    def __init__(self, messages: Sequence[EmailMessage], report: Report) -> None:
        loop = asyncio.get_running_loop()
        self.waiting = deque(messages)
        self.done: asyncio.Future[None] = loop.create_future()
        self._report: Report | None = report
        self._open = len(messages)
        self._begun_at = loop.time()
        self._error: Exception | None = None
        self._timer = self._set_timer()

    def begin_before(self, message: EmailMessage) -> float:
        """The loop's time after which a send of this message may not begin."""
        return self._begun_at + message.deadline_s

    def settle(self, message: EmailMessage, outcome: Outcome) -> None:
        """Report one outcome; the last one ends the call."""
        if self._report is None:
            return
        self._open -= 1
        try:
            self._report(message, outcome)
        except Exception as error:
            # The caller's bug is raised where the caller sees it, after the other reports.
            self._error = self._error or error
        if self._open or self.done.done():
            return
        if self._error is not None:
            self.done.set_exception(self._error)
        else:
            self.done.set_result(None)

    def settle_waiting(self, outcome: Outcome) -> None:
        """Report the same outcome for all that nobody has taken."""
        while self.waiting:
            self.settle(self.waiting.popleft(), outcome)

    def take_back(self, message: EmailMessage) -> bool:
        """Let a message wait again, unless the call is over."""
        if self._report is None:
            return False
        self.waiting.appendleft(message)
        if self._timer is None:
            self._timer = self._set_timer()
        return True

    def close(self) -> None:
        """No more reports: the call is over, or was cancelled."""
        self._report = None
        self.waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> asyncio.TimerHandle | None:
        if not self.waiting:
            return None
        first = min(map(self.begin_before, self.waiting))
        return asyncio.get_running_loop().call_at(first, self._expire)

    def _expire(self) -> None:
        """Report what waits past its deadline, though every connection is busy."""
        now = asyncio.get_running_loop().time()
        late = [message for message in self.waiting if self.begin_before(message) <= now]
        self.waiting = deque(
            message for message in self.waiting if self.begin_before(message) > now
        )
        for message in late:
            self.settle(message, _NOT_STARTED)
        self._timer = self._set_timer()


class _Turns:
    """The calls with messages that wait, served in turn, one message each."""

    def __init__(self) -> None:
        # In the order of their turns.
        self._calls: dict[_Call, None] = {}

    def waiting(self, *, up_to: int) -> int:
        """How many messages nobody has taken; counting ends at `up_to`."""
        count = 0
        for call in self._calls:
            count += len(call.waiting)
            if count >= up_to:
                return up_to
        return count

    def add(self, call: _Call) -> None:
        self._calls[call] = None

    def remove(self, call: _Call) -> None:
        self._calls.pop(call, None)

    def take(self) -> tuple[_Call, EmailMessage] | None:
        """The next message of the next call that has one."""
        while self._calls:
            call = next(iter(self._calls))
            del self._calls[call]
            if call.waiting:
                message = call.waiting.popleft()
                if call.waiting:
                    self._calls[call] = None
                return call, message
        return None

    def give_back(self, call: _Call, message: EmailMessage) -> None:
        """A message that turned out not to have been begun is the next of its call."""
        if call.take_back(message):
            self._calls[call] = None

    def settle_all(self, outcome: Outcome) -> None:
        for call in list(self._calls):
            call.settle_waiting(outcome)


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
