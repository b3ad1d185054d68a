"""A vendor that takes everything at once, in a process of its own, and counts connections.

Over HTTP/1.1 it reads no more of a request than its length and its path, which says whose answer
it gets; over HTTP/2 and TLS, for APNs, it is the tests' stand-in. `GET /counters` gives what both
have counted and begins anew.
"""

import argparse
import asyncio
import json
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.processes import Service, Services, answers, free_port
from cdp.testing.http2_vendor import Http2Vendor, self_signed
from cdp.testing.http_vendor import Got, Reply

HOST: Final = "127.0.0.1"
HOSTS: Final = [HOST, *(f"127.0.0.{number}" for number in range(2, 202))]
"""It answers on all of these, for those who call many hosts."""
ROOT: Final = Path(__file__).parents[1]
CONTROL: Final = "/counters"
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"

_SNS: Final = (
    b'<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
    b"<MessageId>1</MessageId></PublishResult><ResponseMetadata><RequestId>1</RequestId>"
    b"</ResponseMetadata></PublishResponse>"
)
ANSWERS: Final[Mapping[bytes, tuple[str, str, bytes]]] = {
    b"/2010-04-01/": ("201 Created", "application/json", b'{"sid": "SM1", "status": "queued"}'),
    b"/token": ("200 OK", "application/json", b'{"access_token": "t", "expires_in": 3600}'),
    b"/v1/projects/": ("200 OK", "application/json", b'{"name": "projects/p/messages/1"}'),
    b"/push/": ("201 Created", "text/plain", b""),
    b"/hook/": ("200 OK", "text/plain", b""),
    b"/services/": ("200 OK", "text/plain", b"ok"),
    b"/v2/email/": ("200 OK", "application/json", b'{"MessageId": "1"}'),
    b"/": ("200 OK", "text/xml", _SNS),
}
"""By how a path begins; the first that fits."""


@dataclass(slots=True)
class Counters:
    """What came since the counters were last read."""

    requests: int = 0
    connections: int = 0
    connections_peak: int = 0


class _Connection(asyncio.Protocol):
    """One of HTTP/1.1, with requests one after the other."""

    open_count = 0
    counters = Counters()

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_counted:
            _Connection.open_count -= 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_HEAD_END)) >= 0:
            head = bytes(self._buffer[: end + 2])
            at = head.lower().find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            whole = end + len(_HEAD_END) + length
            if len(self._buffer) < whole:
                return
            del self._buffer[:whole]
            self._answer(head.split(b" ", 2)[1])

    def _answer(self, path: bytes) -> None:
        if path == CONTROL.encode():
            self._transport.write(_response("200 OK", "application/json", _counted()))
            return
        counters = _Connection.counters
        counters.requests += 1
        if not self._is_counted:
            self._is_counted = True
            _Connection.open_count += 1
            counters.connections += 1
            counters.connections_peak = max(counters.connections_peak, _Connection.open_count)
        self._transport.write(next(r for start, r in _RESPONSES.items() if path.startswith(start)))


def _response(status: str, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_RESPONSES: Final = {start: _response(*answer) for start, answer in ANSWERS.items()}


def _counted() -> bytes:
    counted = _Connection.counters
    _Connection.counters = Counters(connections_peak=_Connection.open_count)
    return json.dumps(asdict(counted)).encode()


async def serve(port: int, tls_port: int, folder: Path) -> None:
    """Take everything until the process is ended."""
    certificate, key = self_signed(folder)

    def take(_: Got) -> Reply:
        _Connection.counters.requests += 1
        # The stand-in keeps what a test asks about.
        vendor.got.clear()
        vendor.taken.clear()
        _Connection.counters.connections += vendor.connections_count
        vendor.connections_count = 0
        return Reply(status=200, headers={"apns-id": "1"})

    vendor = Http2Vendor(take, address_of=lambda _: "", certificate=certificate, key=key)
    vendor.port = tls_port
    server = await asyncio.get_running_loop().create_server(_Connection, HOSTS, port)
    async with vendor, server:
        await server.serve_forever()


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a sink is."""

    url: str
    """Of HTTP/1.1."""
    tls_url: str
    """Of HTTP/2."""
    certificate: Path
    """Whom to trust for that."""


class HttpSink:
    """The sink as a process."""

    def __init__(self, folder: Path) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self._folder = folder / "http-sink"
        self._folder.mkdir(exist_ok=True)
        self._services = Services(self._folder)
        self._service: Service | None = None

    def __enter__(self) -> Self:
        self._service = self._services.start(
            "http-sink",
            [sys.executable, "-m", "benchmarks.http_sink", str(self.port), str(self.tls_port)],
            env={"PYTHONPATH": str(ROOT)},
        )
        self._service.wait_until(lambda: answers(self.port) and answers(self.tls_port), within_s=20)
        self.counted()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        trouble: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._services.close()

    @property
    def address(self) -> "Address":
        """Where it is."""
        return Address(
            url=f"http://{HOST}:{self.port}",
            tls_url=f"https://{HOST}:{self.tls_port}",
            certificate=self._folder / "vendor.pem",
        )

    @property
    def pid(self) -> int:
        """For the `CpuMeter`."""
        assert self._service is not None
        return self._service.pid

    def counted(self) -> Counters:
        """What came since the last time."""
        with urllib.request.urlopen(f"{self.address.url}{CONTROL}", timeout=10) as answer:
            said: dict[str, Any] = json.load(answer)
        return Counters(**said)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("tls_port", type=int)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.tls_port, Path.cwd()))
