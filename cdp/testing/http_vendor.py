"""A vendor on a real socket that answers over HTTP as it is told, and notes what it got."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import orjson
from aiohttp import web


class Trouble(StrEnum):
    """What a vendor may do instead of answering."""

    CUT = "cut"
    """Read the request and close the connection without a word."""
    CUT_IN_ANSWER = "cut_in_answer"
    """Close the connection in the middle of the answer."""
    SILENCE = "silence"
    """Read the request and never answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    trouble: Trouble | None = None


def json_reply(status: int, body: Any, **headers: str) -> Reply:
    """An answer of JSON; a header's name is written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(
        status=status,
        body=orjson.dumps(body),
        headers={"Content-Type": "application/json", **named},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


Answering = Callable[[Got], Reply]


class HttpVendor:
    """The server. `answering` is what it does; one address may be answered otherwise."""

    def __init__(self, answering: Answering, *, address_of: Callable[[Got], str]) -> None:
        self.answering = answering
        self.got: list[Got] = []
        self.taken: list[str] = []
        """The addresses of what was read and not refused, once for each time."""
        self.connections_peak = 0
        self.connections_count = 0
        self.port = 0
        self._address_of = address_of
        self._special: dict[str, Reply] = {}
        self._next: list[Reply] = []
        self._open: set[asyncio.BaseTransport] = set()
        self._seen: set[int] = set()
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        await self.refuse_connections()

    @property
    def url(self) -> str:
        """Where it is, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    async def listen(self) -> None:
        """Take connections, again on the same port."""
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, keepalive_timeout=60, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def refuse_connections(self) -> None:
        """Be unreachable; connections that are open are broken."""
        if self._runner is not None:
            self.cut_connections()
            await self._runner.cleanup()
            self._runner = None

    @property
    def connections_open(self) -> int:
        """How many connections are open now."""
        return sum(not transport.is_closing() for transport in self._open)

    def cut_connections(self) -> None:
        """Break all connections, as an idle vendor does."""
        for transport in list(self._open):
            transport.close()
        self._open.clear()

    def on(self, address: str, reply: Reply) -> None:
        """Answer what is for this address with that."""
        self._special[address] = reply

    def next(self, *replies: Reply) -> None:
        """Answer the next requests with these, whoever they are for."""
        self._next.extend(replies)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._note_connection(request)
        body = await request.read()
        got = Got(path=request.path_qs, headers=dict(request.headers), body=body)
        self.got.append(got)
        address = self._address_of(got)
        if self._next and address:
            reply = self._next.pop(0)
        else:
            reply = self._special.get(address) or self.answering(got)
        if address and (reply.status < 300 or reply.trouble):
            self.taken.append(address)
        return await self._send(request, reply)

    def _note_connection(self, request: web.Request) -> None:
        transport = request.transport
        assert transport is not None
        self._open = {each for each in self._open if not each.is_closing()}
        if transport not in self._open:
            self._open.add(transport)
            self.connections_count += 1
        self.connections_peak = max(self.connections_peak, len(self._open))

    async def _send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        if reply.trouble is Trouble.SILENCE:
            await self._closing.wait()
        if reply.trouble is Trouble.CUT or reply.trouble is Trouble.SILENCE:
            transport.close()
            return web.Response()
        response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
        length = len(reply.body) + (100 if reply.trouble else 0)
        response.content_length = length
        await response.prepare(request)
        await response.write(reply.body)
        if reply.trouble is Trouble.CUT_IN_ANSWER:
            transport.close()
        return response
