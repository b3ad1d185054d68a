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

from benchmarks.findings import Finding
from benchmarks.platform import batch_bodies
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import number, post_many
from benchmarks.urgent_probe import urgent_finding, urgent_latency

IN_FLIGHT: Final = 3
TAKEN: Final = 207
WARM_UP_S: Final = 10.0
WHILE_WARMING_UP: Final = 1.15
"""More are posted than shall wait, since some are delivered until the urgent ones begin."""


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
    return [urgent_finding(f"urgent while {before:,} wait", idle, loaded)]


BENCHMARK: Final = Benchmark(name="urgent", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
