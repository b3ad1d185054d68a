"""Makes the bytes of messages in a thread of its own.

To sign by RSA takes a quarter of a millisecond, which OpenSSL spends without the interpreter's
lock. On the event loop all connections would stand still meanwhile, and the second core idle.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cdp.ports.provider import EmailMessage

TOGETHER: Final = 4
"""Messages that are handed over at once, since to wake the event loop has its price."""

_Waiting = tuple[EmailMessage, "asyncio.Future[bytes]"]


class Composer:
    """One message after the other, for whoever asks on one event loop."""

    def __init__(self, compose: Callable[[EmailMessage], bytes]) -> None:
        self._compose = compose
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compose")
        self._waiting: deque[_Waiting] = deque()
        self._is_working = False

    async def compose(self, message: EmailMessage) -> bytes:
        """The message's bytes.

        Raises:
            ValueError: as the function that composes.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append((message, future))
        if not self._is_working:
            self._is_working = True
            self._thread.submit(self._work, loop)
        return await future

    def close(self) -> None:
        """End the thread, when what was begun is done."""
        self._thread.shutdown(wait=False)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            made: list[tuple[asyncio.Future[bytes], bytes | Exception]] = []
            while self._waiting and len(made) < TOGETHER:
                message, future = self._waiting.popleft()
                try:
                    made.append((future, self._compose(message)))
                except Exception as error:
                    made.append((future, error))
            loop.call_soon_threadsafe(_hand_over, made)
        loop.call_soon_threadsafe(self._rest, loop)

    def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Unless somebody has asked in the last moment."""
        if self._waiting:
            self._thread.submit(self._work, loop)
        else:
            self._is_working = False


def _hand_over(made: list[tuple["asyncio.Future[bytes]", bytes | Exception]]) -> None:
    for future, content in made:
        if future.done():
            continue
        if isinstance(content, Exception):
            future.set_exception(content)
        else:
            future.set_result(content)
