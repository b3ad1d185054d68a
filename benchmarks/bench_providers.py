"""What does it cost to send through a provider over HTTP, beside the same requests without us?

Beside each provider: `httpx.AsyncClient`, the common choice, and aiohttp bare, which is what we use
ourselves, so that the difference is what our layers cost; for Amazon both are aioboto3, which we
use, too; for APNs both are httpx, the only one of them with HTTP/2. All have 20 requests under way
on kept connections; in turn, five rounds, the median counts. The sink is a process of its own.
Prints: requests a second, CPU of the sender for each, requests a connection; the ratios are of CPU,
since the sender's one core is what bounds it.

Then 100,000 messages of five kinds go through one worker's providers, a part of them to 200 hosts,
in a process of its own whose memory is read on the way.
"""

import asyncio
import itertools
import json
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aioboto3
import aiohttp
import httpx
from aiobotocore.config import AioConfig
from rich.console import Console
from rich.table import Table

from benchmarks.findings import Finding, median
from benchmarks.http_sink import ROOT, Address, HttpSink
from benchmarks.provider_memory import FEW, MANY
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import CpuMeter, number
from benchmarks.vendors import CONNECTIONS, Vendor, vendors
from cdp.ports.clock import SystemClock
from cdp.ports.provider import Accepted, Message, Outcome, ProviderTools
from cdp.providers.registry import load

ROUNDS: Final = 5
BATCH: Final = 100
"""As many as a worker is given at once."""
BATCHES_AT_ONCE: Final = 2
FLOOR_COST, AIM_COST = 1.5, 1.2
FLOOR_GROWTH, AIM_GROWTH = 0.05, 0.01
NUMBERS: Final = itertools.count(1)
TOOLS: Final = ProviderTools(clock=SystemClock(), reach_private=True)

Send = Callable[[Sequence[Message]], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Side:
    """What one side has done: of each round its requests a second and its CPU for each."""

    send: Send
    per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    requests: int = 0
    connections: int = 0
    connections_most: int = 0
    """That were opened in one round. Between two rounds the others may take so long that idle
    ones are given up."""

    async def round(self, messages: Sequence[Message], sink: HttpSink) -> None:
        """Send all, once."""
        began, cpu = time.perf_counter(), time.process_time()
        await self.send(messages)
        self.per_s.append(len(messages) / (time.perf_counter() - began))
        self.cpu_us.append((time.process_time() - cpu) / len(messages) * 1e6)
        await self.count(sink)
        assert self.requests >= len(messages)

    async def count(self, sink: HttpSink) -> None:
        """Take in what the sink has seen of this side."""
        counted = await asyncio.to_thread(sink.counted)
        self.requests += counted.requests
        self.connections += counted.connections
        self.connections_most = max(self.connections_most, counted.connections)


async def measure(stage: Stage) -> list[Finding]:
    """Time each vendor's sides in turn, and judge."""
    findings = []
    with HttpSink(stage.folder) as sink:
        meter = CpuMeter({"sink": sink.pid, "sender": os.getpid()})
        for vendor in vendors(sink.address):
            count = 300 if stage.quick else 500 if vendor.call is not None else 2_000
            async with _sides(vendor, sink) as sides:
                await _warm_up(vendor, sides, sink)
                for _ in range(ROUNDS):
                    stage.elsewhere.start()
                    before = meter.read()
                    await _round(vendor, sides, sink, count)
                    stage.elsewhere.note(meter.read() - before)
                _print(vendor, sides)
                print(stage.elsewhere.line())
                findings.append(_finding(vendor, sides))
        findings.append(await _memory(sink, quick=stage.quick))
    return findings


async def _warm_up(vendor: Vendor, sides: dict[str, Side], sink: HttpSink) -> None:
    """Connections, tokens and imports are no part of it."""
    for side in sides.values():
        await side.send([vendor.message(next(NUMBERS)) for _ in range(CONNECTIONS)])
        await side.count(sink)


async def _round(vendor: Vendor, sides: dict[str, Side], sink: HttpSink, count: int) -> None:
    for side in sides.values():
        await side.round([vendor.message(next(NUMBERS)) for _ in range(count)], sink)


@asynccontextmanager
async def _sides(vendor: Vendor, sink: HttpSink) -> AsyncIterator[dict[str, Side]]:
    async with AsyncExitStack() as stack:
        sides = {"ours": Side(send=await stack.enter_async_context(_ours(vendor)))}
        if vendor.call is not None:
            sides["aioboto3"] = Side(send=await stack.enter_async_context(_aioboto3(vendor)))
        else:
            sides["httpx"] = Side(
                send=await stack.enter_async_context(_httpx(vendor, sink.address))
            )
        if vendor.call is None and not vendor.is_http2:
            sides["bare aiohttp"] = Side(send=await stack.enter_async_context(_aiohttp(vendor)))
        yield sides


@asynccontextmanager
async def _ours(vendor: Vendor) -> AsyncIterator[Send]:
    adapter = load(vendor.kind)
    provider = adapter.open(adapter.Settings.model_validate(dict(vendor.settings)), TOOLS)
    refused: list[Outcome] = []

    def report(_: Message, outcome: Outcome) -> None:
        if not isinstance(outcome, Accepted):
            refused.append(outcome)

    async def send(messages: Sequence[Message]) -> None:
        batches = iter([messages[at : at + BATCH] for at in range(0, len(messages), BATCH)])

        async def work() -> None:
            for batch in batches:
                await provider.deliver(batch, report)

        await asyncio.gather(*(work() for _ in range(BATCHES_AT_ONCE)))
        assert refused == [], refused[:3]

    yield send
    await provider.close()


@asynccontextmanager
async def _httpx(vendor: Vendor, at: Address) -> AsyncIterator[Send]:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    trusted = ssl.create_default_context(cafile=at.certificate if vendor.is_http2 else None)
    request_of = vendor.request
    assert request_of is not None
    async with httpx.AsyncClient(
        limits=limits, http2=vendor.is_http2, verify=trusted, trust_env=False
    ) as client:

        async def one(message: Message) -> None:
            request = request_of(message)
            answer = await client.post(request.url, content=request.body, headers=request.headers)
            answer.raise_for_status()
            if answer.headers.get("content-type") == "application/json":
                answer.json()

        yield _together(one)


@asynccontextmanager
async def _aiohttp(vendor: Vendor) -> AsyncIterator[Send]:
    request_of = vendor.request
    assert request_of is not None
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:

        async def one(message: Message) -> None:
            request = request_of(message)
            async with session.post(
                request.url, data=request.body, headers=request.headers
            ) as answer:
                if answer.content_type == "application/json":
                    await answer.json()
                else:
                    await answer.read()

        yield _together(one)


@asynccontextmanager
async def _aioboto3(vendor: Vendor) -> AsyncIterator[Send]:
    call = vendor.call
    assert call is not None
    settings = vendor.settings
    service = {"email.ses": "sesv2", "sms.sns": "sns"}[vendor.kind]
    async with aioboto3.Session().client(
        service,
        region_name=settings["region"],
        aws_access_key_id=settings["access_key_id"],
        aws_secret_access_key=settings["secret_access_key"],
        endpoint_url=settings["endpoint_url"],
        config=AioConfig(max_pool_connections=CONNECTIONS),
    ) as client:
        yield _together(lambda message: call(client, message))


def _together(one: Callable[[Message], Awaitable[None]]) -> Send:
    """So many at once as there are connections."""

    async def send(messages: Sequence[Message]) -> None:
        left = iter(messages)

        async def work() -> None:
            for message in left:
                await one(message)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))

    return send


def _print(vendor: Vendor, sides: dict[str, Side]) -> None:
    table = Table(title=vendor.kind, title_justify="left")
    for name in ("side", "requests/s", "rounds", "CPU us each", "requests a connection"):
        table.add_column(name, justify="left" if name == "side" else "right")
    for name, side in sides.items():
        table.add_row(
            name,
            number(median(side.per_s)),
            ", ".join(map(number, side.per_s)),
            number(median(side.cpu_us)),
            number(side.requests / side.connections),
        )
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


def _finding(vendor: Vendor, sides: dict[str, Side]) -> Finding:
    ours, common, *bare = sides.values()
    bare_us = median((bare[0] if bare else common).cpu_us)
    # By CPU, which the sink and whoever else is on the machine disturb less than the time.
    cost = median(ours.cpu_us) / bare_us
    _, common_name, *_ = sides
    is_kept = ours.connections_most <= CONNECTIONS
    return Finding(
        benchmark=f"sending by {vendor.kind}",
        result=f"{number(median(ours.per_s))}/s, {number(median(ours.cpu_us))} µs",
        peer=f"{common_name} {number(median(common.per_s))}/s, bare {number(bare_us)} µs",
        ratio=median(common.cpu_us) / median(ours.cpu_us),
        floor=f"< {FLOOR_COST} x bare",
        aim=f"< {AIM_COST} x bare",
        floor_met=is_kept and cost < FLOOR_COST,
        aim_met=is_kept and cost < AIM_COST,
    )


async def _memory(sink: HttpSink, *, quick: bool) -> Finding:
    """Let a process of its own send, and judge what it says of its memory."""
    few, many = (FEW // 10, MANY // 10) if quick else (FEW, MANY)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.provider_memory"),
        *(sink.address.url, str(few), str(many)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, f"the sender ended with {process.returncode}"
    rss_mb = {int(count): float(mb) for count, mb in json.loads(said).items()}
    counted = await asyncio.to_thread(sink.counted)
    growth = rss_mb[many] / rss_mb[few] - 1
    print(
        "memory after so many messages: "
        + ", ".join(f"{count:,} {number(mb)} MB" for count, mb in rss_mb.items())
        + f"; at most {counted.connections_peak} connections open at once"
    )
    return Finding(
        benchmark=f"memory over {many:,} messages",
        result=f"{number(rss_mb[many])} MB ({growth:+.1%})",
        peer=f"the same after {few:,}",
        floor=f"grows < {FLOOR_GROWTH:.0%}",
        aim="flat",
        floor_met=growth < FLOOR_GROWTH,
        aim_met=growth < AIM_GROWTH,
    )


BENCHMARK: Final = Benchmark(name="providers", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
