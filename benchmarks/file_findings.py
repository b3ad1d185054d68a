"""What counts as good of a file beside the batch endpoint, its memory, and its neighbours."""

from benchmarks.file_work import FileRun
from benchmarks.findings import Finding, percentile
from benchmarks.platform_processes import PeakMemory
from benchmarks.tools import number
from benchmarks.urgent_probe import Latency

FLOOR_SHARE, AIM_SHARE = 0.7, 1.0
FLOOR_WRONG, AIM_WRONG = 0.95, 1.0
FLOOR_PER_S, AIM_PER_S = 1_000_000 / 300, 1_000_000 / 150
FLOOR_GROWTH_MB, AIM_GROWTH_MB = 300.0, 100.0
FLOOR_P90_S, FLOOR_P99_S, AIM_P99_S = 2.0, 10.0, 2.0


def share_finding(file_per_s: float, batch_per_s: float) -> Finding:
    """A file beside the batch endpoint."""
    share = file_per_s / batch_per_s
    return Finding(
        benchmark="file of requests",
        result=f"{number(file_per_s)} rows/s",
        peer=f"batches {number(batch_per_s)}/s",
        ratio=share,
        floor="70 %",
        aim="100 %",
        floor_met=share >= FLOOR_SHARE,
        aim_met=share >= AIM_SHARE,
    )


def wrong_finding(wrong_per_s: float, right_per_s: float) -> Finding:
    """A file of which half is wrong beside one that is right."""
    share = wrong_per_s / right_per_s
    return Finding(
        benchmark="file, half of its rows wrong",
        result=f"{number(wrong_per_s)} rows/s",
        peer=f"all right {number(right_per_s)}/s",
        ratio=share,
        floor="95 %",
        aim="100 %",
        floor_met=share >= FLOOR_WRONG,
        aim_met=share >= AIM_WRONG,
    )


def time_finding(run: FileRun) -> Finding:
    """The large file, at the pace of a million in five minutes or better."""
    return Finding(
        benchmark=f"file of {run.rows:,} rows",
        result=f"{number(run.seconds)} s, {number(run.per_s)} rows/s",
        floor=f"{number(FLOOR_PER_S)}/s: a million in 5 min",
        aim=f"{number(AIM_PER_S)}/s: 2.5 min",
        floor_met=run.per_s >= FLOOR_PER_S,
        aim_met=run.per_s >= AIM_PER_S,
    )


def memory_finding(memory: PeakMemory, rows: int) -> Finding:
    """What the ingestion held more than before."""
    growth = memory.peak_mb - memory.before_mb
    return Finding(
        benchmark=f"memory of the ingestion of {rows:,}",
        result=f"{number(memory.peak_mb)} MB at most (+{number(growth)})",
        peer=f"before: {number(memory.before_mb)} MB",
        ratio=memory.before_mb / memory.peak_mb,
        floor="+ 300 MB",
        aim="+ 100 MB",
        floor_met=growth < FLOOR_GROWTH_MB,
        aim_met=growth < AIM_GROWTH_MB,
    )


def urgent_finding(idle: Latency, beside: Latency) -> Finding:
    """Another client's urgent messages beside the file and without it."""
    p50, p90, p99 = (percentile(beside.to_provider, percent) for percent in (50, 90, 99))
    idle_p50, idle_p99 = (percentile(idle.to_provider, percent) for percent in (50, 99))
    return Finding(
        benchmark="urgent beside a file",
        result=f"p50 {number(p50)} s, p99 {number(p99)} s",
        peer=f"idle: {number(idle_p50)}, {number(idle_p99)} s",
        ratio=idle_p99 / p99,
        floor="p90 < 2 s, p99 < 10 s",
        aim="p99 < 2 s",
        floor_met=p90 < FLOOR_P90_S and p99 < FLOOR_P99_S,
        aim_met=p99 < AIM_P99_S,
    )
