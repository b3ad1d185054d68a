"""Makes the bytes of messages when their turn comes, and before it in a thread.

The thread is for what RSA signs: `cryptography` gives up the interpreter's lock meanwhile, so a
second core is of use where one is free. It goes through a batch from its end, and the connections
from its beginning; what is not there when its turn comes is composed on the spot. So nobody waits
for the other, nothing has to be handed over, and it ends where the two meet.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from cdp.domain.ids import ResultId
from cdp.ports.provider import EmailMessage
from cdp.providers.email.mime import build
from cdp.providers.turns import DeliverCall

Compose = Callable[[EmailMessage], bytes]
Call = DeliverCall[EmailMessage]


class Composer:
    """For one event loop.

    Args:
        compose: makes a message's bytes.
        ahead_of: how many messages of a call are begun at once. What is behind them is composed in
            the thread; without a number there is none.
    """

    def __init__(self, compose: Compose, *, ahead_of: int | None) -> None:
        # The platform's own builder is tested to give nothing else, and the check is not free.
        self._compose = build if compose is build else _checked(compose)
        self._ahead_of = ahead_of
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compose")
        self._batches: dict[Call, _Batch] = {}

    @contextlib.contextmanager
    def ahead(self, call: Call, messages: Sequence[EmailMessage]) -> Iterator[None]:
        """Compose these meanwhile, if it is of use."""
        if self._ahead_of is None or len(messages) <= self._ahead_of:
            yield
            return
        self._batches[call] = batch = _Batch(messages, self._compose)
        self._thread.submit(batch.run)
        try:
            yield
        finally:
            batch.is_over = True
            del self._batches[call]

    def take(self, call: Call, message: EmailMessage) -> bytes:
        """The message's bytes, now that its turn has come.

        Raises:
            ValueError: it can't be composed.
        """
        batch = self._batches.get(call)
        return self._compose(message) if batch is None else batch.take(message)

    def close(self) -> None:
        """End the thread, with the message that it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class _Batch:
    """`run` is for the thread, all else for the event loop.

    Each step on what both use is one operation of a dict or a set, and so needs no lock.
    """

    def __init__(self, messages: Sequence[EmailMessage], compose: Compose) -> None:
        self.is_over = False
        self._messages = messages
        self._compose = compose
        self._made: dict[ResultId, bytes] = {}
        self._begun: set[ResultId] = set()

    def run(self) -> None:
        """Compose one after the other, the last first, up to what has been begun."""
        for message in reversed(self._messages):
            if self.is_over or message.result_id in self._begun:
                return
            with contextlib.suppress(Exception):
                # Whose turn it is composes it once more, and reports what is wrong with it.
                self._made[message.result_id] = self._compose(message)

    def take(self, message: EmailMessage) -> bytes:
        self._begun.add(message.result_id)
        made = self._made.pop(message.result_id, None)
        return self._compose(message) if made is None else made


def _checked(compose: Compose) -> Compose:
    """Refuse bare line ends: some servers end a message at one and a dot (CVE-2023-51764)."""

    def checked(message: EmailMessage) -> bytes:
        content = compose(message)
        line_ends = content.count(b"\r\n")
        if content.count(b"\n") != line_ends or content.count(b"\r") != line_ends:
            raise ValueError("the composed message has a line end that is not CRLF")
        return content

    return checked
