"""How many single POSTs a second are made durable, beside the peer, and how long does one wait?

64 connections, closed loop, in turn. Only the intake is asked for, so on both sides nobody takes
from the queue meanwhile: the peer's Celery is not running, and the platform's QueueShards stand
still (SIGSTOP). Both still hand each communication to the queue: the peer's tasks pile up in
Redis, the platform's hints in Ray. Afterwards the platform delivers all of it, unmeasured, and
is halted while the peer is measured.
Prints: POST/s and p50, p99 of each, all rounds, the ratios, and the CPU of each process.
"""

import os
from dataclasses import dataclass, field
from typing import Final

from benchmarks import workload
from benchmarks.findings import Finding, median
from benchmarks.platform import single_bodies
from benchmarks.platform_processes import SIDE_PROCESSES
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
FLOOR_RATIO, AIM_RATIO, FLOOR_PER_S, FLOOR_P99_MS = 2.0, 4.0, 360.0, 100.0


@dataclass(slots=True)
class _Side:
    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def note(self, result: LoadResult) -> None:
        result.require(ACCEPTED)
        self.rates.append(result.per_second)
        self.p50.append(result.percentile_ms(50))
        self.p99.append(result.percentile_ms(99))


async def measure(stage: Stage) -> list[Finding]:
    """Alternate, print both, and judge."""
    rounds, ours_count, peer_count = (2, 2_000, 800) if stage.quick else (4, 6_000, 2_000)
    ours, theirs = _Side(), _Side()
    spent: dict[str, CpuSeconds] = {}
    warm_up = 300
    await _platform_round(stage, _Side(), warm_up)
    await _peer_round(stage, _Side(), warm_up)
    for _ in range(rounds):
        spent["platform"] = await _platform_round(stage, ours, ours_count)
        spent["peer"] = await _peer_round(stage, theirs, peer_count)
    print_comparison(
        f"Single POST, durable, {CONNECTIONS} connections, nobody takes from the queue",
        [
            Row(name="POST/s", unit="1/s", rounds={"platform": ours.rates, "peer": theirs.rates}),
            *(
                Row(
                    name=name,
                    unit="ms",
                    rounds={"platform": mine, "peer": other},
                    higher_is_better=False,
                )
                for name, mine, other in (
                    ("p50", ours.p50, theirs.p50),
                    ("p99", ours.p99, theirs.p99),
                )
            ),
        ],
    )
    print_cpu("The last round of the platform, a POST", {"platform": spent["platform"]}, ours_count)
    print_cpu("The last round of the peer, a POST", {"peer": spent["peer"]}, peer_count)
    print(stage.elsewhere.line())
    return [_finding(ours, theirs)]


def _finding(ours: _Side, theirs: _Side) -> Finding:
    rate, p99 = median(ours.rates), median(ours.p99)
    ratio = rate / median(theirs.rates)
    floor_met = ratio >= FLOOR_RATIO and rate >= FLOOR_PER_S and p99 < FLOOR_P99_MS
    return Finding(
        benchmark="single POST, durable",
        result=f"{number(rate)}/s, p99 {number(p99)} ms",
        peer=f"{number(median(theirs.rates))}/s, p99 {number(median(theirs.p99))} ms",
        ratio=ratio,
        floor="2x, >= 360/s, p99 < 100 ms",
        aim="4x",
        floor_met=floor_met,
        aim_met=floor_met and ratio >= AIM_RATIO,
    )


async def _platform_round(stage: Stage, side: _Side, count: int) -> CpuSeconds:
    platform = stage.platform
    client = await stage.client("single-post")
    bodies = single_bodies(count)
    meter = platform.meter(stage.beside)
    with platform.intake_only():
        before = meter.read()
        stage.elsewhere.start()
        result = await post_many(
            platform.url, bodies, connections=CONNECTIONS, headers=client.headers
        )
        spent = meter.read() - before
        stage.elsewhere.note(spent)
    side.note(result)
    await platform.idle(within_s=180)
    return CpuSeconds({n: s for n, s in spent.by_name.items() if n not in SIDE_PROCESSES[:1]})


async def _peer_round(stage: Stage, side: _Side, count: int) -> CpuSeconds:
    peer = stage.peer(deliver=False)
    meter = CpuMeter({**peer.pids, "load generator": os.getpid()})
    bodies = workload.single_bodies(count)
    with stage.platform.standing_still():
        before = meter.read()
        stage.elsewhere.start()
        result = await post_many(peer.url, bodies, connections=CONNECTIONS, headers=peer.headers)
        spent = meter.read() - before
        stage.elsewhere.note(spent)
    side.note(result)
    return spent


BENCHMARK: Final = Benchmark(name="single_post", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
