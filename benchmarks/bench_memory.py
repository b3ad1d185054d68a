"""Does the memory of shards and pools grow with what waits?

Half of what waits is due and stands behind a provider that has stopped answering (the sink stands
still), half is due in a day. The same with 1,000 and with 500,000. The first reading is taken
after a warm-up of some thousand deliveries, so that what every run loads is in both.
The Supervisor may start more processes for the larger backlog, up to the settings' bounds; what
is judged is the memory of each.
Prints: RSS and USS of each component's processes, with few and with many waiting.
"""

import asyncio
from datetime import timedelta
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.findings import Finding
from benchmarks.platform import PlatformUnderTest, batch_bodies
from benchmarks.platform_processes import Memory, memory_by_component, stopped
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import number, post_many

COMPONENTS: Final = ("QueueShard", "DeliveryPool", "DeliveryWorker", "Scheduler", "Supervisor")
JUDGED: Final = ("QueueShard", "DeliveryPool", "DeliveryWorker")
WARM_UP: Final = 6_000
IN_FLIGHT: Final = 3
TAKEN: Final = 207
CHUNK: Final = 50_000
"""So many are encoded at once, to keep the benchmark's own memory small."""
SETTLE_S: Final = 20.0
FAR: Final = timedelta(days=1)
FLOOR_GROWTH, AIM_GROWTH = 0.20, 0.05


async def measure(stage: Stage) -> list[Finding]:
    """Read with few waiting, add many, read again, and judge."""
    few, many = (1_000, 40_000) if stage.quick else (1_000, 500_000)
    platform = stage.platform
    await _post(stage, WARM_UP, far=False)
    await platform.idle(within_s=180)
    with stopped([stage.sink.pid]):
        await _post(stage, few // 2, far=False)
        await _post(stage, few // 2, far=True)
        before = await _read(platform)
        await _post(stage, (many - few) // 2, far=False)
        await _post(stage, (many - few) // 2, far=True)
        after = await _read(platform)
    _print(before, after, few, many)
    # What is due now is delivered; what is due tomorrow stays, and nothing comes after this.
    return [_finding(before, after, few, many)]


def _finding(before: dict[str, Memory], after: dict[str, Memory], few: int, many: int) -> Finding:
    first, last = _each_uss(before), _each_uss(after)
    worst = max(JUDGED, key=lambda name: last[name] / first[name])
    growth = last[worst] / first[worst] - 1
    return Finding(
        benchmark=f"memory with {many:,} waiting",
        result=f"{worst} {number(last[worst])} MB each ({growth:+.0%})",
        peer=f"with {few:,}: {number(first[worst])} MB",
        ratio=first[worst] / last[worst],
        floor="grow < 20 %",
        aim="flat",
        floor_met=growth < FLOOR_GROWTH,
        aim_met=growth < AIM_GROWTH,
    )


def _each_uss(memory: dict[str, Memory]) -> dict[str, float]:
    """A process's share: more workers than before are no growth of one."""
    return {name: each.uss_mb / max(1, each.processes) for name, each in memory.items()}


def _print(before: dict[str, Memory], after: dict[str, Memory], few: int, many: int) -> None:
    table = Table(
        title=f"MB with {few:,} and with {many:,} waiting, half due, half in a day",
        title_justify="left",
    )
    for name in ("component", "processes", "RSS", "USS", "processes", "RSS", "USS", "USS each"):
        table.add_column(name, justify="left" if name == "component" else "right")
    each_before, each_after = _each_uss(before), _each_uss(after)
    for name in COMPONENTS:
        cells = []
        for memory in (before[name], after[name]):
            cells += [str(memory.processes), number(memory.rss_mb), number(memory.uss_mb)]
        change = each_after[name] / each_before[name] - 1
        table.add_row(name, *cells, f"{change:+.0%}")
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


async def _read(platform: PlatformUnderTest) -> dict[str, Memory]:
    await asyncio.sleep(SETTLE_S)
    return memory_by_component(platform.instance, COMPONENTS)


async def _post(stage: Stage, count: int, *, far: bool) -> None:
    platform = stage.platform
    client = await stage.client("memory")
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        send_at = [platform.wiring.clock.now() + FAR] * size if far else None
        result = await post_many(
            platform.batch_url,
            list(batch_bodies(size, send_at=send_at)),
            connections=IN_FLIGHT,
            headers=client.headers,
            within_s=600,
        )
        result.require(TAKEN)


BENCHMARK: Final = Benchmark(name="memory", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
