"""How near does a file come to the batch endpoint, and what does it cost the others meanwhile?

First the same requests are made durable as rows of a CSV, as items of batches of 500, and as a CSV
of which every second row has no address; in turn, while nobody takes from the queue (the
QueueShards stand still). A file counts from the first byte posted until its last row is decided on.
Then one file of a million rows goes through the platform as it runs, and another client posts
urgent messages one by one; the same was done before, when there was no file. The memory of the
FileIngestion is read before and twice a second.

All bulk is of a campaign that is a draft, so that none of it is delivered; it is cancelled, and
that is waited for, before anything else is measured.
Prints: rows and items a second, all rounds, the ratios, the CPU of each process; how long the large
file took; memory before, at most and after; the urgent messages' times, idle and beside the file.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import workload
from benchmarks.bench_batch_intake import Round, post_batches
from benchmarks.file_findings import (
    memory_finding,
    share_finding,
    time_finding,
    wrong_finding,
)
from benchmarks.file_work import PARTS, TEMPLATE, FileRun, batch_bodies, send_file, write_csv
from benchmarks.findings import Finding, median
from benchmarks.platform import BATCH, BenchClient
from benchmarks.platform_processes import PeakMemory
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import Row, number, print_comparison, print_cpu
from benchmarks.urgent_probe import urgent_finding, urgent_latency

WRONG_EVERY: Final = 2
WARM_UP: Final = 2_000
"""Rows: that an ingestion is started, and what each one loads, is no part of it."""
BACKLOG_MAX: Final = 3_000_000
"""The large file is not to wait for its client's limit."""
BEFORE_URGENT_S: Final = 2.0
WITHIN_S: Final = 1_800.0
CANCELLED_PER_S: Final = 300
"""At least, of what is held."""
COMPONENT: Final = "FileIngestion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is sent."""

    rounds: int
    rows: int
    """Of a file, or items in batches, in a round."""
    large: int
    """Rows of the large file."""
    urgent: int
    """Messages beside it; half as many when idle."""


QUICK: Final = Sizes(rounds=2, rows=10_000, large=50_000, urgent=60)
FULL: Final = Sizes(rounds=3, rows=60_000, large=1_000_000, urgent=600)


async def measure(stage: Stage) -> list[Finding]:
    """The rounds, then the large file; print both, and judge."""
    sizes = QUICK if stage.quick else FULL
    await _warm_up(stage)
    return [*await _rounds(stage, sizes), *await _large(stage, sizes)]


async def _rounds(stage: Stage, sizes: Sizes) -> list[Finding]:
    right = _written(stage, "right.csv", sizes.rows)
    half = _written(stage, "half-wrong.csv", sizes.rows, wrong_every=WRONG_EVERY)
    files: list[Round] = []
    batches: list[Round] = []
    halves: list[Round] = []
    for _ in range(sizes.rounds):
        files.append(await _file_round(stage, right, sizes.rows, wrong=0))
        batches.append(await _batch_round(stage, sizes.rows))
        wrong = sizes.rows // WRONG_EVERY
        halves.append(await _file_round(stage, half, sizes.rows, wrong=wrong))
    file, batch, wrong_half = ([each.per_s for each in side] for side in (files, batches, halves))
    print_comparison(
        f"{sizes.rows:,} rows of a CSV, and as many items in batches of {BATCH}, durable",
        [
            Row(name="all right", unit="1/s", rounds={"file": file, "batches": batch}),
            Row(name="every second row wrong", unit="1/s",
                rounds={"file": wrong_half, "batches": batch}),
        ],
        ours="file",
        peer="batches",
    )  # fmt: skip
    spent = {"file": files[-1].spent, "batches": batches[-1].spent, "half": halves[-1].spent}
    print_cpu("The last round, a row or item", spent, sizes.rows)
    return [
        share_finding(median(file), median(batch)),
        wrong_finding(median(wrong_half), median(file)),
    ]


async def _large(stage: Stage, sizes: Sizes) -> list[Finding]:
    path = _written(stage, "large.csv", sizes.large)
    idle = await urgent_latency(stage.platform, await stage.client("urgent"), sizes.urgent // 2)
    # Without files for some minutes there is no ingestion any more.
    await _warm_up(stage)
    async with _held(stage, sizes.large) as client:
        urgent = await stage.client("urgent")
        pids = stage.platform.pids(COMPONENT)
        assert len(pids) == 1, f"{len(pids)} ingestions run"
        async with PeakMemory(pids[0]) as memory:
            sending = asyncio.create_task(
                send_file(stage.platform.api, client.headers, path, within_s=WITHIN_S)
            )
            try:
                await asyncio.sleep(BEFORE_URGENT_S)
                beside = await urgent_latency(stage.platform, urgent, sizes.urgent)
                is_over = sending.done()
                run = await sending
            finally:
                sending.cancel()
    _require(run, rows=sizes.large, wrong=0)
    print(
        f"{run.rows:,} rows in {number(run.seconds)} s: posted in {number(run.upload_s)} s, "
        f"read in {number(run.reading_s)} s"
    )
    print(
        f"{COMPONENT} held {number(memory.before_mb)} MB before, {number(memory.peak_mb)} MB at "
        f"most, {number(memory.last_mb)} MB after, in {memory.samples} readings"
    )
    if is_over:
        print("The file was done before the last urgent message: with less of them beside it.")
    print(idle.line("idle"))
    print(beside.line("beside the file"))
    return [
        time_finding(run),
        memory_finding(memory, run.rows),
        urgent_finding("urgent beside a file", idle, beside),
    ]


def _written(stage: Stage, name: str, rows: int, *, wrong_every: int = 0) -> Path:
    """A file on disk, made ahead of the measurement."""
    path = stage.folder / name
    with path.open("wb") as into:
        write_csv(into, rows, wrong_every=wrong_every)
    return path


@asynccontextmanager
async def _held(stage: Stage, count: int) -> AsyncIterator[BenchClient]:
    """A client whose campaign is a draft; behind it nothing of that is left to be done."""
    platform = stage.platform
    client = await stage.client("files", backlog_max=BACKLOG_MAX)
    campaign = f"/campaigns/{workload.CAMPAIGN}"
    await platform.set_up(client, "PUT", f"/templates/{TEMPLATE}", {workload.CHANNEL: dict(PARTS)})
    await platform.set_up(client, "PUT", campaign, {})
    try:
        yield client
    finally:
        await platform.set_up(client, "POST", f"{campaign}/cancel")
        await platform.idle(within_s=count / CANCELLED_PER_S + 60)


async def _warm_up(stage: Stage) -> None:
    path = _written(stage, "warm-up.csv", WARM_UP)
    async with _held(stage, WARM_UP) as client:
        run = await send_file(stage.platform.api, client.headers, path, within_s=120)
    _require(run, rows=WARM_UP, wrong=0)


async def _file_round(stage: Stage, path: Path, rows: int, *, wrong: int) -> Round:
    platform = stage.platform
    async with _held(stage, rows) as client:
        with platform.intake_only():
            meter = platform.meter({})
            before = meter.read()
            run = await send_file(platform.api, client.headers, path, within_s=WITHIN_S)
            spent = meter.read() - before
    _require(run, rows=rows, wrong=wrong)
    return Round(run.per_s, spent)


async def _batch_round(stage: Stage, count: int) -> Round:
    bodies = list(batch_bodies(count))
    async with _held(stage, count) as client:
        with stage.platform.intake_only():
            return await post_batches(stage.platform, client, bodies, count)


def _require(run: FileRun, *, rows: int, wrong: int) -> None:
    found = (run.rows, run.accepted, run.rejected)
    assert found == (rows, rows - wrong, wrong), f"of {rows} rows came {found}"


BENCHMARK: Final = Benchmark(name="files", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
