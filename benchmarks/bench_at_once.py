"""How many communications a second are posted and delivered at once, beside the peer?

64 connections POST while what was posted is delivered to the same sink; in turn, several rounds.
A round lasts from the first POST until the sink has the last message; the CPU is read when the
last outcome is recorded. Both write the whole log: five events a message. While the peer is
measured, the platform is halted. At the end the books are verified. One more round has tracked
links and a pixel, which the peer does not make.
Prints: messages/s, POST p50 and p99 of each, all rounds, the ratios; CPU a message of each
process; what the verification came to.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from benchmarks import workload
from benchmarks.findings import Finding, median
from benchmarks.platform import single_bodies
from benchmarks.platform_processes import of_platform
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import (
    CpuMeter,
    CpuSeconds,
    LoadResult,
    Row,
    number,
    post_many,
    print_comparison,
    print_cpu,
)

CONNECTIONS: Final = 64
ACCEPTED: Final = 202
FLOOR_RATIO, FLOOR_PER_S, AIM_RATIO, AIM_PER_S = 3.0, 278.0, 5.0, 700.0
FLOOR_CPU_MS, AIM_CPU_MS, AIM_MONGOD_MS = 3.6, 1.8, 0.5


@dataclass(slots=True)
class _Side:
    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    mongod_us: list[float] = field(default_factory=list)
    spent: CpuSeconds = field(default_factory=lambda: CpuSeconds({}))

    def note(self, posts: LoadResult, seconds: float, count: int, spent: CpuSeconds) -> None:
        self.rates.append(count / seconds)
        self.p50.append(posts.percentile_ms(50))
        self.p99.append(posts.percentile_ms(99))
        own = of_platform(spent)
        self.cpu_us.append(own.total * 1e6 / count)
        self.mongod_us.append(own.group("mongod") * 1e6 / count)
        self.spent = spent


async def measure(stage: Stage) -> list[Finding]:
    """Alternate, print both, verify, and judge."""
    rounds, ours_count, peer_count = (2, 3_000, 800) if stage.quick else (4, 8_000, 2_000)
    ours, theirs, tracked = _Side(), _Side(), _Side()
    await _platform_round(stage, _Side(), 500)
    await _peer_round(stage, _Side(), 100)
    for _ in range(rounds):
        await _platform_round(stage, ours, ours_count)
        await _peer_round(stage, theirs, peer_count)
    await _platform_round(stage, tracked, ours_count, tracking=True)
    _print(ours, theirs, tracked, ours_count, peer_count)
    print(stage.elsewhere.line())
    books = await stage.platform.verify()
    print(
        f"Books verified: {books.results} communications, {books.events} events in "
        f"{number(books.duration_s)} s, no violation"
    )
    stage.rate_per_s = median(ours.rates)
    return [_rate_finding(ours, theirs), _cpu_finding(ours, theirs)]


def _print(ours: _Side, theirs: _Side, tracked: _Side, count: int, peer_count: int) -> None:
    def row(name: str, unit: str, mine: list[float], other: list[float]) -> Row:
        rounds = {"platform": mine, "peer": other}
        return Row(name=name, unit=unit, rounds=rounds, higher_is_better=unit == "1/s")

    print_comparison(
        f"POST and deliver at once, {CONNECTIONS} connections",
        [
            row("messages", "1/s", ours.rates, theirs.rates),
            row("POST p50", "ms", ours.p50, theirs.p50),
            row("POST p99", "ms", ours.p99, theirs.p99),
            row("CPU a message, all processes", "us", ours.cpu_us, theirs.cpu_us),
        ],
    )
    print_cpu("The last round of the platform", {"platform": ours.spent}, count)
    print_cpu("The last round of the peer", {"peer": theirs.spent}, peer_count)
    print(
        f"With tracked links and pixel: {number(tracked.rates[0])} messages/s, "
        f"{number(tracked.cpu_us[0])} us a message, mongod {number(tracked.mongod_us[0])}"
    )


def _rate_finding(ours: _Side, theirs: _Side) -> Finding:
    rate, other = median(ours.rates), median(theirs.rates)
    ratio = rate / other
    return Finding(
        benchmark="POST and deliver at once",
        result=f"{number(rate)}/s, books clean",
        peer=f"{number(other)}/s",
        ratio=ratio,
        floor="3x, >= 278/s",
        aim="5x, >= 700/s",
        floor_met=ratio >= FLOOR_RATIO and rate >= FLOOR_PER_S,
        aim_met=ratio >= AIM_RATIO and rate >= AIM_PER_S,
    )


def _cpu_finding(ours: _Side, theirs: _Side) -> Finding:
    cpu, mongod = median(ours.cpu_us) / 1e3, median(ours.mongod_us) / 1e3
    other = median(theirs.cpu_us) / 1e3
    return Finding(
        benchmark="CPU a communication",
        result=f"{number(cpu)} ms, of it mongod {number(mongod)}",
        peer=f"{number(other)} ms",
        ratio=other / cpu,
        floor="<= 3.6 ms in all",
        aim="<= 1.8 ms, mongod <= 0.5",
        floor_met=cpu <= FLOOR_CPU_MS,
        aim_met=cpu <= AIM_CPU_MS and mongod <= AIM_MONGOD_MS,
    )


async def _platform_round(stage: Stage, side: _Side, count: int, *, tracking: bool = False) -> None:
    platform = stage.platform
    client = await stage.client("at-once")
    bodies = single_bodies(count, tracking=tracking)
    meter = platform.meter(stage.beside)
    before = meter.read()
    stage.elsewhere.start()
    posts, seconds = await post_and_wait(stage, platform.url, bodies, client.headers)
    await platform.idle(within_s=60)
    spent = meter.read() - before
    stage.elsewhere.note(spent)
    side.note(posts, seconds, count, spent)


async def _peer_round(stage: Stage, side: _Side, count: int) -> None:
    peer = stage.peer(deliver=True)
    meter = CpuMeter({**peer.pids, **stage.beside})
    bodies = workload.single_bodies(count)
    with stage.platform.standing_still():
        before = meter.read()
        stage.elsewhere.start()
        posts, seconds = await post_and_wait(stage, peer.url, bodies, peer.headers)
        peer.wait_recorded(count, within_s=30)
        spent = meter.read() - before
        stage.elsewhere.note(spent)
    side.note(posts, seconds, count, spent)


async def post_and_wait(
    stage: Stage, url: str, bodies: list[bytes], headers: Mapping[str, str]
) -> tuple[LoadResult, float]:
    """Post them all and wait until the sink has the last; the seconds from the first to it."""
    since, started = stage.sink.received, time.perf_counter()
    drain = asyncio.create_task(stage.sink.wait_for(len(bodies), since=since, within_s=300))
    try:
        posts = await post_many(url, bodies, connections=CONNECTIONS, headers=headers)
        posts.require(ACCEPTED)
        drained = await drain
    finally:
        drain.cancel()
    return posts, drained.last_at - started


BENCHMARK: Final = Benchmark(name="at_once", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
