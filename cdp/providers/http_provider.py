"""What every provider over HTTP does alike: a few senders share the messages of all calls in turn.

A vendor's own file says how one message is sent and what the answer means.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Sequence

from cdp.ports.provider import M, Outcome, Provider, Report, Unknown
from cdp.providers.http_client import Unanswered
from cdp.providers.turns import NOT_STARTED, DeliverCall, Turns

_logger = logging.getLogger(__name__)


class HttpProvider(Provider[M]):
    """A `Provider` that sends each message by one request."""

    def __init__(self, *, concurrency: int) -> None:
        """`concurrency` is how many requests are under way at once, of all calls together."""
        self._concurrency = concurrency
        self._turns: Turns[M] = Turns()
        self._senders: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def send(self, message: M) -> Outcome:
        """Send one message, and what came of it.

        Raises:
            Unanswered: there is no answer.
        """

    async def deliver(self, messages: Sequence[M], report: Report[M]) -> None:
        """Send all, and call `report` exactly once for each; see `Provider`."""
        if not messages:
            return
        call = DeliverCall(messages, report)
        self._turns.add(call)
        missing = min(self._turns.waiting(up_to=self._concurrency), self._concurrency)
        for _ in range(min(missing, self._concurrency - len(self._senders))):
            sender = asyncio.create_task(self._run())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        try:
            await call.done
        finally:
            call.close()
            self._turns.remove(call)

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while (turn := self._turns.take()) is not None:
                call, message = turn
                call.settle(message, await self._attempt(call, message))
        finally:
            # Here and not in the callback, which comes a turn later: a call in between would count
            # on a sender that has ended.
            self._senders.discard(task)

    async def _attempt(self, call: DeliverCall[M], message: M) -> Outcome:
        if asyncio.get_running_loop().time() >= call.begin_before(message):
            return NOT_STARTED
        try:
            return await self.send(message)
        except Unanswered as unanswered:
            return unanswered.outcome
        except Exception as error:
            # A bug of ours: nobody knows how far it came. The text may hold content: not logged.
            _logger.error("an http send failed", extra={"error": type(error).__name__})
            return Unknown(code="internal")

    def is_busy(self) -> bool:
        """Whether messages wait until others have been sent; see `Provider`."""
        return self._turns.waiting(up_to=1) > 0

    async def close(self) -> None:
        """See `Provider.close`."""
        if self._senders:
            await asyncio.wait(self._senders)
