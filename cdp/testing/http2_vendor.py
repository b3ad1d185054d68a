"""A vendor that speaks HTTP/2 over TLS, such as APNs, on a real socket."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import h2.config
import h2.connection
import h2.events
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from cdp.testing.http_vendor import Got, Reply, Trouble


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, valid for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "vendor.pem", folder / "vendor.key"
    public.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return public, private


@dataclass(slots=True)
class _Request:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class _Connection(asyncio.Protocol):
    def __init__(self, vendor: "Http2Vendor") -> None:
        self._vendor = vendor
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config=config)
        self._requests: dict[int, _Request] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._vendor.connected(self)
        self._h2.initiate_connection()
        self.transport.write(self._h2.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        self._vendor.open.discard(self)

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                assert event.stream_id is not None
                headers = {str(name): str(value) for name, value in event.headers or ()}
                self._requests[event.stream_id] = _Request(headers)
            elif isinstance(event, h2.events.DataReceived):
                assert event.stream_id is not None
                self._requests[event.stream_id].body += event.data or b""
                self._h2.acknowledge_received_data(
                    event.flow_controlled_length or 0, event.stream_id
                )
            elif isinstance(event, h2.events.StreamEnded):
                assert event.stream_id is not None
                self._answer(event.stream_id, self._requests.pop(event.stream_id))
        self.transport.write(self._h2.data_to_send())

    def _answer(self, stream: int, request: _Request) -> None:
        got = Got(path=request.headers[":path"], headers=request.headers, body=bytes(request.body))
        reply = self._vendor.reply_to(got)
        if reply.trouble is Trouble.SILENCE:
            return
        if reply.trouble is Trouble.CUT:
            self.transport.abort()
            return
        headers = [(":status", str(reply.status)), *reply.headers.items()]
        self._h2.send_headers(stream, headers)
        self._h2.send_data(stream, reply.body[:16_000], end_stream=reply.trouble is None)
        if reply.trouble is Trouble.CUT_IN_ANSWER:
            self.transport.write(self._h2.data_to_send())
            self.transport.close()


class Http2Vendor:
    """The server. `answering` is what it does; one address may be answered otherwise."""

    def __init__(
        self,
        answering: Callable[[Got], Reply],
        *,
        address_of: Callable[[Got], str],
        certificate: Path,
        key: Path,
    ) -> None:
        self.answering = answering
        self.got: list[Got] = []
        self.taken: list[str] = []
        self.connections_peak = 0
        self.connections_count = 0
        self.port = 0
        self.open: set[_Connection] = set()
        self._address_of = address_of
        self._special: dict[str, Reply] = {}
        self._server: asyncio.Server | None = None
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate, key)
        self._tls.set_alpn_protocols(["h2"])

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse_connections()

    @property
    def url(self) -> str:
        """Where it is, without a slash at its end."""
        return f"https://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Take connections, again on the same port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse_connections(self) -> None:
        """Be unreachable; connections that are open are broken."""
        if self._server is not None:
            self._server.close()
            self.cut_connections()
            await self._server.wait_closed()
            self._server = None

    def cut_connections(self) -> None:
        """Break all connections, as an idle vendor does."""
        for connection in list(self.open):
            connection.transport.abort()

    def on(self, address: str, reply: Reply) -> None:
        """Answer what is for this address with that."""
        self._special[address] = reply

    def connected(self, connection: _Connection) -> None:
        """Count a connection."""
        self.open.add(connection)
        self.connections_count += 1
        self.connections_peak = max(self.connections_peak, len(self.open))

    def reply_to(self, got: Got) -> Reply:
        """The answer to a request, which is noted."""
        self.got.append(got)
        address = self._address_of(got)
        reply = self._special.get(address) or self.answering(got)
        if reply.status < 300 or reply.trouble:
            self.taken.append(address)
        return reply
