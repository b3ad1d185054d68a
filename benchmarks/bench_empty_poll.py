"""What does an empty poll cost a shard, 10 s after a drain of 40,000?

What leaves an index lingers at its head for a while, and the next scan walks over it. A poll is
what a shard asks MongoDB each second: for each lane and priority, who has anything due in its 64
partitions. It is asked here by the shard's own repository, when all that was posted is delivered.
Every half minute a shard also looks again at what it has emptied; that query is timed too.
Prints: milliseconds of a poll at once, 10 s and 20 s after the drain, median and slowest.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.findings import Finding, median
from benchmarks.platform import BenchClient, PlatformUnderTest, batch_bodies
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import number, post_many
from cdp.domain.ids import Partition
from cdp.domain.lane import LEVELS, Priority, lanes_of

_, EMAIL = lanes_of("email")

POLLS: Final = 15
PAUSE_S: Final = 0.1
AFTER_S: Final = (0, 10, 20)
JUDGED_S: Final = 10
FLOOR_MS, AIM_MS = 10.0, 2.0


async def measure(stage: Stage) -> list[Finding]:
    """Drain, wait, poll, and judge."""
    count = 5_000 if stage.quick else 40_000
    platform = stage.platform
    client = await stage.client("empty-poll")
    bodies = list(batch_bodies(count))
    started = time.perf_counter()
    await post_many(platform.batch_url, bodies, connections=2, headers=client.headers)
    drained_at = await platform.idle(within_s=count / 50 + 60)
    print(f"{count} posted and drained: {number(count / (drained_at - started))}/s")
    polls: dict[int, list[float]] = {}
    for after_s in AFTER_S:
        await asyncio.sleep(max(0.0, drained_at + after_s - time.perf_counter()))
        polls[after_s] = await _timed(lambda: _poll(platform))
        again = await _timed(lambda: _look_again(platform, client))
        print(
            f"{after_s} s after: a poll {number(median(polls[after_s]))} ms, slowest "
            f"{number(max(polls[after_s]))}; a look again {number(median(again))} ms, slowest "
            f"{number(max(again))}"
        )
    return [_finding(polls[JUDGED_S], count)]


def _finding(polls_ms: list[float], count: int) -> Finding:
    middle = median(polls_ms)
    return Finding(
        benchmark=f"empty poll 10 s after {count:,}",
        result=f"{number(middle)} ms, slowest {number(max(polls_ms))}",
        floor="< 10 ms",
        aim="< 2 ms",
        floor_met=middle < FLOOR_MS,
        aim_met=middle < AIM_MS,
    )


async def _timed(ask: Callable[[], Awaitable[None]]) -> list[float]:
    """Milliseconds of each of some questions, one after the other."""
    taken = []
    for _ in range(POLLS):
        started = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - started) * 1e3)
        await asyncio.sleep(PAUSE_S)
    return taken


def _partitions(platform: PlatformUnderTest) -> list[Partition]:
    return [Partition(number) for number in range(platform.settings.partitions)]


async def _poll(platform: PlatformUnderTest) -> None:
    active = await platform.wiring.results.active_clients_across_clients(
        LEVELS, partitions=_partitions(platform), until=platform.wiring.clock.now()
    )
    assert not any(clients for _, clients in active), "the poll is not empty"


async def _look_again(platform: PlatformUnderTest, client: BenchClient) -> None:
    items = await platform.wiring.results.due_across_clients(
        partitions=_partitions(platform),
        lane=EMAIL,
        priority=Priority.NORMAL,
        client_id=client.id,
        after=None,
        until=platform.wiring.clock.now(),
        limit=1_000,
    )
    assert not items, "there is work left"


BENCHMARK: Final = Benchmark(name="empty_poll", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
