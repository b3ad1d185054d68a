"""Which message is sent next: the `deliver` calls take turns, one message each.

So a call with one message waits for one message of every other call, never for a whole batch.
Also what keeps each call's promise of exactly one report for each message.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Generic

from cdp.ports.provider import FailureClass, M, Outcome, Rejected, Report

NOT_STARTED: Final = Rejected(failure=FailureClass.TRANSIENT, code="not_started")


class DeliverCall(Generic[M]):
    """One `deliver`: its messages that nobody has taken yet, and who hears of them."""

    def __init__(self, messages: Sequence[M], report: Report[M]) -> None:
        loop = asyncio.get_running_loop()
        self.waiting = deque(messages)
        self.done: asyncio.Future[None] = loop.create_future()
        self._report: Report[M] | None = report
        self._open = len(messages)
        self._begun_at = loop.time()
        self._error: Exception | None = None
        self._timer = self._set_timer()

    def begin_before(self, message: M) -> float:
        """The loop's time after which a send of this message may not begin."""
        return self._begun_at + message.deadline_s

    def settle(self, message: M, outcome: Outcome) -> None:
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

    def take_back(self, message: M) -> bool:
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
            self.settle(message, NOT_STARTED)
        self._timer = self._set_timer()


class Turns(Generic[M]):
    """The calls with messages that wait, served in turn, one message each."""

    def __init__(self) -> None:
        # In the order of their turns.
        self._calls: dict[DeliverCall[M], None] = {}

    def waiting(self, *, up_to: int) -> int:
        """How many messages nobody has taken; counting ends at `up_to`."""
        count = 0
        for call in self._calls:
            count += len(call.waiting)
            if count >= up_to:
                return up_to
        return count

    def add(self, call: DeliverCall[M]) -> None:
        """A new call takes its turn behind the others."""
        self._calls[call] = None

    def remove(self, call: DeliverCall[M]) -> None:
        """The call is over."""
        self._calls.pop(call, None)

    def take(self) -> tuple[DeliverCall[M], M] | None:
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

    def give_back(self, call: DeliverCall[M], message: M) -> None:
        """A message that turned out not to have been begun is the next of its call."""
        if call.take_back(message):
            self._calls[call] = None

    def settle_all(self, outcome: Outcome) -> None:
        """Report the same outcome for all that nobody has taken."""
        for call in list(self._calls):
            call.settle_waiting(outcome)
