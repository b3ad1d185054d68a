"""How punctual are 100,000 scheduled messages, due at half the rate that can be delivered?

All are posted ahead, in batches, each with a `send_at` of its own; the first is due when all of
them should be rendered and scheduled. The time is taken from the log: from `send_at` to
DELIVERY_ATTEMPTED, with which a worker claims the message.
Prints: the rate, how many were scheduled in time, p50, p99 and the slowest, and the earliest.
"""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Final

from benchmarks.findings import Finding, percentile
from benchmarks.platform import BenchClient, PlatformUnderTest, batch_bodies
from benchmarks.spans import timelines
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import number, post_many
from cdp.domain.event import EventName

IN_FLIGHT: Final = 2
TAKEN: Final = 207
PROBE: Final = 3_000
MARGIN_S: Final = 15.0
FLOOR_P99_S, AIM_P99_S = 1.0, 0.3


async def measure(stage: Stage) -> list[Finding]:
    """Schedule all, wait until all is delivered, and judge."""
    count = 6_000 if stage.quick else 100_000
    platform = stage.platform
    rate = stage.rate_per_s or await _rate(stage)
    client = await stage.client("schedule")
    since = platform.wiring.clock.now()
    # To render and schedule one costs less than to deliver one as well.
    first = since + timedelta(seconds=count / rate + MARGIN_S)
    step = timedelta(seconds=2 / rate)
    times = [_whole_ms(first + index * step) for index in range(count)]
    result = await post_many(
        platform.batch_url,
        list(batch_bodies(count, send_at=times)),
        connections=IN_FLIGHT,
        headers=client.headers,
        within_s=600,
    )
    result.require(TAKEN)
    await asyncio.sleep((first - platform.wiring.clock.now()).total_seconds() - 1)
    late = await _not_scheduled(platform, client)
    await asyncio.sleep((times[-1] - platform.wiring.clock.now()).total_seconds())
    await platform.idle(within_s=count / 50 + 60)
    seconds = [
        late_s
        async for each in timelines(platform.database, client.id, since=since)
        if (late_s := each.late_s(EventName.DELIVERY_ATTEMPTED)) is not None
    ]
    assert len(seconds) == count, f"{len(seconds)} of {count} were claimed"
    _print(seconds, rate, late)
    return [_finding(seconds)]


def _print(seconds: list[float], rate: float, late: int) -> None:
    print(
        f"{len(seconds)} due at {number(rate / 2)}/s, half of {number(rate)}/s; {late} were not "
        f"scheduled yet when the first was due"
    )
    print(
        f"send_at to claim: p50 {number(percentile(seconds, 50) * 1e3)} ms, "
        f"p99 {number(percentile(seconds, 99) * 1e3)}, slowest {number(max(seconds) * 1e3)}, "
        f"earliest {number(min(seconds) * 1e3)}"
    )


def _finding(seconds: list[float]) -> Finding:
    p99 = percentile(seconds, 99)
    return Finding(
        benchmark=f"{len(seconds):,} future items",
        result=f"p50 {number(percentile(seconds, 50))} s, p99 {number(p99)} s",
        floor="p99 < 1 s",
        aim="p99 < 0.3 s",
        floor_met=p99 < FLOOR_P99_S and min(seconds) >= 0,
        aim_met=p99 < AIM_P99_S and min(seconds) >= 0,
    )


async def _rate(stage: Stage) -> float:
    """Messages a second, from the first POST to the last delivery, of some posted in batches."""
    platform = stage.platform
    client = await stage.client("rate")
    started, since = time.perf_counter(), stage.sink.received
    await post_many(
        platform.batch_url,
        list(batch_bodies(PROBE)),
        connections=IN_FLIGHT,
        headers=client.headers,
    )
    drained = await stage.sink.wait_for(PROBE, since=since, within_s=120)
    await platform.idle(within_s=60)
    return PROBE / (drained.last_at - started)


async def _not_scheduled(platform: PlatformUnderTest, client: BenchClient) -> int:
    query = {"client_id": client.id, "status": {"$ne": "scheduled"}}
    return await platform.database["delivery_results"].count_documents(query)


def _whole_ms(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


BENCHMARK: Final = Benchmark(name="schedule", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
