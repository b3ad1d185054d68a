"""How long do one client's urgent messages take while 100,000 of another client wait?

One client posts its messages in batches while the QueueShards stand still, so that all of them
wait. Then the platform delivers them as fast as it can, and some seconds later, when the shards
have their leases back, another client posts single high-priority messages at a steady pace. The
same was done before, when nothing else was there. The time is taken from the log: from CREATED,
which is before the answer 202, to DELIVERY_SUCCEEDED, which is after the provider has said yes.
Prints: how many waited, p50, p90, p99 from accept to provider and of the POST, idle and loaded,
and the median of each step on the way.
"""

import asyncio
import time
from typing import Final

from benchmarks.findings import Finding, percentile
from benchmarks.platform import batch_bodies
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import number, post_many
from benchmarks.urgent_probe import Latency, urgent_latency

IN_FLIGHT: Final = 3
TAKEN: Final = 207
WARM_UP_S: Final = 10.0
WHILE_WARMING_UP: Final = 1.15
"""More are posted than shall wait, since some are delivered until the urgent ones begin."""
FLOOR_P90_S, FLOOR_P99_S, AIM_P99_S = 2.0, 10.0, 2.0


async def measure(stage: Stage) -> list[Finding]:
    """Idle first, then beside the backlog; print both, and judge."""
    waiting, urgent = (10_000, 150) if stage.quick else (100_000, 600)
    platform = stage.platform
    idle = await urgent_latency(platform, await stage.client("urgent"), urgent // 2)
    bulk = await stage.client("bulk")
    posted = round(waiting * WHILE_WARMING_UP)
    with platform.intake_only():
        result = await post_many(
            platform.batch_url,
            list(batch_bodies(posted)),
            connections=IN_FLIGHT,
            headers=bulk.headers,
            within_s=600,
        )
    result.require(TAKEN)
    started = time.perf_counter()
    await asyncio.sleep(WARM_UP_S)
    before = await platform.unfinished(bulk)
    loaded = await urgent_latency(platform, await stage.client("urgent"), urgent)
    after = await platform.unfinished(bulk)
    print(f"{before} of {posted} waited when the urgent ones began, {after} when they ended")
    print(idle.line("idle"))
    print(loaded.line("loaded"))
    drained_at = await platform.idle(within_s=posted / 50 + 60)
    print(f"The backlog was drained at {number(posted / (drained_at - started))}/s in all")
    return [_finding(idle, loaded, before)]


def _finding(idle: Latency, loaded: Latency, waiting: int) -> Finding:
    p90, p99 = (percentile(loaded.to_provider, percent) for percent in (90, 99))
    idle_p90, idle_p99 = (percentile(idle.to_provider, percent) for percent in (90, 99))
    return Finding(
        benchmark=f"urgent while {waiting:,} wait",
        result=f"p90 {number(p90)} s, p99 {number(p99)} s",
        peer=f"idle: {number(idle_p90)}, {number(idle_p99)} s",
        ratio=idle_p99 / p99,
        floor="p90 < 2 s, p99 < 10 s",
        aim="p99 < 2 s",
        floor_met=p90 < FLOOR_P90_S and p99 < FLOOR_P99_S,
        aim_met=p99 < AIM_P99_S,
    )


BENCHMARK: Final = Benchmark(name="urgent", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
