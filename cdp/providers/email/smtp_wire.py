"""SMTP's bytes: replies read, bounded waits, and whether all that was written has gone out.

`SmtpConnection` holds the conversation; this file knows only lines. Times are the event loop's.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from cdp.providers.email.classification import Reply

REPLY_BYTES_MAX: Final = 65_536
REPLIES_MAX: Final = 1_000


class WireLost(Exception):
    """The connection ended, or was given up, before what was awaited came."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SmtpWire(asyncio.Protocol):
    """One connection, used by one coroutine at a time."""

    def __init__(self) -> None:
        self.on_end: Callable[[], None] | None = None
        """Called when the connection ends, or the server speaks, while nobody waits."""
        self.lost: str | None = None
        """Why the connection is over, once it is."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._reply_lines: list[str] = []
        self._reply_bytes = 0
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = 0
        self._is_flushed = True
        self._awaits_flush = False
        self._buffer_bytes_flushed = 0
        self._give_up_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_in_step(self) -> bool:
        """Whether the connection is up and nothing was said that nobody asked for."""
        return self.lost is None and not self.has_unread

    @property
    def has_unread(self) -> bool:
        """Whether there is a reply, or part of one, that nobody has taken."""
        return bool(self._replies or self._reply_lines or self._rest)

    def write(self, data: bytes) -> None:
        """Hand bytes to the network, or to the transport's buffer as long as it is full."""
        if self._transport is None or self.lost is not None:
            return
        self._transport.write(data)
        # A failed write leaves an empty buffer too, but a transport that closes.
        self._is_flushed = (
            not self._transport.is_closing()
            and self._transport.get_write_buffer_size() <= self._buffer_bytes_flushed
        )

    async def flush(self, timeout_s: float) -> bool:
        """Wait until all that was written has gone out, or the server has replied.

        Returns:
            Whether all has gone out. If not, its last byte never will once `abort` was called.

        Raises:
            WireLost: and the last byte has certainly not gone out.
        """
        if not self._is_flushed and not self._replies and self.lost is None:
            self._wanted, self._awaits_flush = 1, True
            await self._wait(timeout_s)
        if not self._is_flushed and not self._replies:
            raise WireLost(self.lost or "connection_lost")
        return self._is_flushed

    async def receive(self, count: int, timeout_s: float) -> list[Reply]:
        """The next replies, in order.

        Raises:
            WireLost: fewer came; `take` gives those.
        """
        if len(self._replies) < count and self.lost is None:
            self._wanted = count
            await self._wait(timeout_s)
        if len(self._replies) < count:
            raise WireLost(self.lost or "connection_lost")
        return [self._replies.popleft() for _ in range(count)]

    def take(self) -> list[Reply]:
        """The replies that came, complete or not in number."""
        replies = list(self._replies)
        self._replies.clear()
        return replies

    async def start_tls(self, tls: ssl.SSLContext, host: str) -> None:
        """Go on under TLS."""
        if self._transport is None or self.lost is not None:
            raise WireLost(self.lost or "connection_lost")
        transport = await self._loop.start_tls(self._transport, self, tls, server_hostname=host)
        if transport is None:
            raise WireLost("connection_lost")
        self._adopt(transport)

    def close(self) -> None:
        """Close after what was written."""
        if self._transport is not None:
            self._transport.close()
        self._end("closed")

    def abort(self, code: str = "closed") -> None:
        """Close at once. What has not gone out never will."""
        if self._transport is not None:
            self._transport.abort()
        self._end(code)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # Not asserted: uvloop's transports are of no class of asyncio's.
        transport = cast(asyncio.Transport, transport)
        self._adopt(transport)

    def data_received(self, data: bytes) -> None:
        """Collect complete replies and wake who waits for them."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        self._reply_bytes += len(data)
        for line in lines:
            if not self._take_line(line.decode("utf-8", "replace").rstrip("\r")):
                self.abort("protocol_error")
                return
        if self._reply_bytes > REPLY_BYTES_MAX or len(self._replies) > REPLIES_MAX:
            self.abort("protocol_error")
        elif self._waiter is None:
            self._tell_end()
        elif len(self._replies) >= self._wanted:
            self._wake()

    def eof_received(self) -> None:
        """Give up at once: a transport that closes slowly could still send the final dot."""
        self.abort("connection_lost")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits."""
        self._end("connection_lost")

    def resume_writing(self) -> None:
        """The buffer has become empty."""
        self._is_flushed = True
        if self._awaits_flush:
            self._wake()

    def _adopt(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # So that `resume_writing` means an empty buffer. Under TLS a limit of 0 pauses every
        # write for ever, and what is pending is at least a whole record anyway.
        self._buffer_bytes_flushed = int(transport.get_extra_info("sslcontext") is not None)
        transport.set_write_buffer_limits(high=self._buffer_bytes_flushed, low=0)

    def _take_line(self, line: str) -> bool:
        """One line of a reply; whether it was one."""
        code, mark = line[:3], line[3:4]
        if not (code.isascii() and code.isdigit() and "2" <= code[0] <= "5" and mark in "- "):
            return False
        self._reply_lines.append(line[4:])
        if mark != "-":
            self._replies.append(Reply(code=int(code), lines=tuple(self._reply_lines)))
            self._reply_lines.clear()
            self._reply_bytes = 0
        return True

    # Waiting

    async def _wait(self, timeout_s: float) -> None:
        """Until woken, or until time is up, which ends the connection."""
        assert self._waiter is None
        self._waiter = self._loop.create_future()
        self._give_up_at = self._loop.time() + timeout_s
        # One timer is left running over many waits and looks at the time when it rings, for a
        # timer of its own for each wait costs more than reading the reply.
        if self._timer is None or self._timer.when() > self._give_up_at:
            self._set_timer()
        try:
            await self._waiter
        finally:
            self._waiter = None
            self._wanted, self._awaits_flush = 0, False

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._give_up_at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._give_up_at:
            self._set_timer()
        else:
            self.abort("timeout")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, code: str) -> None:
        if self.lost is not None:
            return
        self.lost = code
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()
        self._tell_end()

    def _tell_end(self) -> None:
        if self._waiter is None and self.on_end is not None:
            self.on_end()
