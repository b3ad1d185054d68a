"""A load generator that costs little: kept connections, requests encoded before the clock starts.

Closed loop: every connection sends its next request when the answer to the last one is complete.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

_CONNECT_TRIES: Final = 3


class LoadFailed(RuntimeError):
    """The server could not be reached, or did not answer all within the time."""


@dataclass(slots=True, kw_only=True)
class LoadResult:
    """What the answers were and how long they took."""

    latencies_s: list[float] = field(default_factory=list)
    """Of every complete answer, in the order of arrival."""
    statuses: Counter[int] = field(default_factory=Counter)
    """How often each HTTP status came; 0 counts connections that broke before the answer."""
    answers: list[bytes] = field(default_factory=list)
    """The bodies, if they were asked for."""
    seconds: float = 0.0
    """From the first request to the last answer."""

    @property
    def per_second(self) -> float:
        """Complete answers a second."""
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency below which `percent` of the answers lie, in milliseconds."""
        assert 0 < percent <= 100
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3

    def require(self, status: int) -> "LoadResult":
        """Itself, if every answer had this status; else raises `LoadFailed`."""
        if set(self.statuses) != {status}:
            raise LoadFailed(f"expected only {status}, got {dict(self.statuses)}")
        return self


async def post_many(
    url: str,
    bodies: Sequence[bytes],
    *,
    connections: int,
    headers: Mapping[str, str] | None = None,
    keep_answers: bool = False,
    within_s: float = 120,
) -> LoadResult:
    """POST every body once over `connections` kept connections and wait for all answers.

    A request whose connection breaks is counted under status 0 and not sent again.

    Raises:
        LoadFailed: nobody listens, or not all was answered within `within_s` seconds.
    """
    assert bodies
    assert connections >= 1
    parts = urlsplit(url)
    job = _Job(_requests(url, bodies, headers or {}), keep_answers=keep_answers)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    started = time.perf_counter()
    try:
        async with asyncio.timeout(within_s):
            await asyncio.gather(
                *(_work(job, host, port) for _ in range(min(connections, len(bodies))))
            )
    except TimeoutError:
        done = len(job.result.latencies_s)
        raise LoadFailed(f"{done} of {len(bodies)} answered within {within_s} s") from None
    assert job.result.statuses.total() == len(bodies)
    job.result.seconds = job.last_answer - started
    return job.result


def _requests(url: str, bodies: Sequence[bytes], headers: Mapping[str, str]) -> list[bytes]:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if not any(name.lower() == "content-type" for name in headers):
        lines.append("Content-Type: application/json")
    head = "\r\n".join(lines).encode()
    return [b"%b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body) for body in bodies]


async def _work(job: "_Job", host: str, port: int) -> None:
    """One connection after another until nothing is left to send."""
    loop = asyncio.get_running_loop()
    while job.left:
        for attempt in range(1, _CONNECT_TRIES + 1):
            try:
                _, connection = await loop.create_connection(lambda: _Connection(job), host, port)
                break
            except OSError as trouble:
                if attempt == _CONNECT_TRIES:
                    raise LoadFailed(f"cannot connect to {host}:{port}: {trouble}") from trouble
                await asyncio.sleep(0.05 * attempt)
        try:
            await connection.closed
        finally:
            connection.abort()


class _Job:
    """The requests not yet sent, shared by all connections, and what came back."""

    def __init__(self, requests: list[bytes], *, keep_answers: bool) -> None:
        self.result = LoadResult()
        self.last_answer = time.perf_counter()
        self._keep = keep_answers
        self._requests = requests
        self._next = 0

    @property
    def left(self) -> bool:
        return self._next < len(self._requests)

    def take(self) -> bytes:
        request = self._requests[self._next]
        self._next += 1
        return request

    def answered(self, status: int, sent_at: float, body: bytes) -> None:
        self.last_answer = time.perf_counter()
        self.result.latencies_s.append(self.last_answer - sent_at)
        self.result.statuses[status] += 1
        if self._keep:
            self.result.answers.append(body)

    def broken(self) -> None:
        self.last_answer = time.perf_counter()
        self.result.statuses[0] += 1


class _Connection(asyncio.Protocol):
    """One kept HTTP/1.1 connection: a request, its whole answer, the next request."""

    def __init__(self, job: _Job) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._job = job
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._sent_at: float | None = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, since uvloop's transports are no subclass.
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        try:
            answer = _parse(self._buffer)
        except (LoadFailed, ValueError) as trouble:
            # Raised here it would only be logged: give it to who waits for this connection.
            self.closed.set_exception(LoadFailed(f"not an HTTP answer we know: {trouble}"))
            return
        if answer is None:
            return
        assert self._sent_at is not None
        status, body, close = answer
        sent_at, self._sent_at, self._buffer = self._sent_at, None, b""
        self._job.answered(status, sent_at, body)
        if close:
            self.abort()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent_at is not None:
            self._sent_at = None
            self._job.broken()
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        if not self._job.left:
            self._transport.close()
            return
        request = self._job.take()
        self._sent_at = time.perf_counter()
        self._transport.write(request)


def _parse(buffer: bytes) -> tuple[int, bytes, bool] | None:
    """Status, body and whether the server closes, once the whole answer is in the buffer."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, body = buffer[:end].lower(), buffer[end + 4 :]
    close = b"\r\nconnection: close" in head
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return (int(head[9:12]), body, close) if len(body) >= length else None
    if b"\r\ntransfer-encoding: chunked" in head:
        chunked = _unchunk(body)
        return None if chunked is None else (int(head[9:12]), chunked, close)
    raise LoadFailed("an answer with neither a length nor chunks")


def _unchunk(body: bytes) -> bytes | None:
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = body.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(body[at:line_end].split(b";", 1)[0], 16)
        chunk_end = line_end + 2 + size
        if len(body) < chunk_end + 2:
            return None
        if size == 0:
            return b"".join(parts)
        parts.append(body[line_end + 2 : chunk_end])
        at = chunk_end + 2
