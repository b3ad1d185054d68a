"""How long urgent messages take that one client posts at a steady pace, one by one.

The time is taken from the log: from CREATED, which is before the answer 202, to DELIVERY_SUCCEEDED,
which is after the provider has said yes.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

import aiohttp

from benchmarks.findings import Finding, median, percentile
from benchmarks.platform import BenchClient, PlatformUnderTest, single_bodies
from benchmarks.spans import Timeline, timelines
from benchmarks.tools import ServiceFailed, number
from cdp.domain.event import EventName

PACE_PER_S: Final = 10.0
ACCEPTED: Final = 202
FLOOR_P90_S, FLOOR_P99_S, AIM_P99_S = 2.0, 10.0, 2.0
STEPS: Final = (
    EventName.CREATED,
    EventName.CONTENT_RESOLVED,
    EventName.QUEUED,
    EventName.DELIVERY_ATTEMPTED,
    EventName.DELIVERY_SUCCEEDED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds of the urgent messages, of one phase."""

    found: list[Timeline]
    post: list[float]

    @property
    def to_provider(self) -> list[float]:
        """From accept to provider."""
        return _between(self.found, STEPS[0], STEPS[-1])

    def line(self, name: str) -> str:
        """All of it, to be printed."""
        shown = [
            f"p{percent} {number(percentile(self.to_provider, percent) * 1e3)}"
            for percent in (50, 90, 99)
        ]
        post = [
            f"p{percent} {number(percentile(self.post, percent) * 1e3)}" for percent in (50, 99)
        ]
        steps = [
            f"{later.value} {number(median(_between(self.found, earlier, later)) * 1e3)}"
            for earlier, later in pairwise(STEPS)
        ]
        return (
            f"{name}: accept to provider {', '.join(shown)} ms, slowest "
            f"{number(max(self.to_provider) * 1e3)}; POST {', '.join(post)} ms\n"
            f"  of it, in the median, until {', '.join(steps)} ms"
        )


def _between(found: list[Timeline], earlier: EventName, later: EventName) -> list[float]:
    seconds = (each.seconds(earlier, later) for each in found)
    return [each for each in seconds if each is not None]


def urgent_finding(benchmark: str, idle: Latency, loaded: Latency) -> Finding:
    """Urgent messages beside a load, and without it."""
    p90, p99 = (percentile(loaded.to_provider, percent) for percent in (90, 99))
    idle_p90, idle_p99 = (percentile(idle.to_provider, percent) for percent in (90, 99))
    return Finding(
        benchmark=benchmark,
        result=f"p90 {number(p90)} s, p99 {number(p99)} s",
        peer=f"idle: {number(idle_p90)}, {number(idle_p99)} s",
        ratio=idle_p99 / p99,
        floor="p90 < 2 s, p99 < 10 s",
        aim="p99 < 2 s",
        floor_met=p90 < FLOOR_P90_S and p99 < FLOOR_P99_S,
        aim_met=p99 < AIM_P99_S,
    )


async def urgent_latency(platform: PlatformUnderTest, client: BenchClient, count: int) -> Latency:
    """Post so many at a steady pace, and read from the log what became of them."""
    since = platform.wiring.clock.now()
    posts = await _paced(platform.url, single_bodies(count, priority="high"), client.headers)
    deadline = time.monotonic() + 60
    while len(found := await _delivered(platform, client, since)) < count:
        if time.monotonic() > deadline:
            raise ServiceFailed(f"{len(found)} of {count} urgent messages within 60 s")
        await asyncio.sleep(0.5)
    return Latency(found=found, post=posts)


async def _delivered(
    platform: PlatformUnderTest, client: BenchClient, since: datetime
) -> list[Timeline]:
    return [
        each
        async for each in timelines(platform.database, client.id, since=since)
        if STEPS[-1] in each.at
    ]


async def _paced(url: str, bodies: list[bytes], headers: Mapping[str, str]) -> list[float]:
    """POST each at its time, however long the others take; the seconds of each."""
    async with aiohttp.ClientSession(
        headers={**headers, "Content-Type": "application/json"},
        timeout=aiohttp.ClientTimeout(total=60),
    ) as session:

        async def post(body: bytes) -> float:
            started = time.perf_counter()
            async with session.post(url, data=body) as answer:
                await answer.read()
                if answer.status != ACCEPTED:
                    raise ServiceFailed(f"an urgent message was answered {answer.status}")
            return time.perf_counter() - started

        started, tasks = time.perf_counter(), []
        for index, body in enumerate(bodies):
            await asyncio.sleep(max(0.0, started + index / PACE_PER_S - time.perf_counter()))
            tasks.append(asyncio.create_task(post(body)))
        return list(await asyncio.gather(*tasks))
