"""What counts as good of a file beside the batch endpoint, and of its memory."""

from benchmarks.file_work import FileRun
from benchmarks.findings import Finding
from benchmarks.platform_processes import PeakMemory
from benchmarks.tools import number

FLOOR_SHARE, AIM_SHARE = 0.7, 1.0
FLOOR_WRONG, AIM_WRONG = 0.95, 1.0
FLOOR_PER_S, AIM_PER_S = 1_000_000 / 300, 1_000_000 / 150
FLOOR_GROWTH_MB, AIM_GROWTH_MB = 300.0, 100.0


def share_finding(file_per_s: float, batch_per_s: float) -> Finding:
    """A file beside the batch endpoint."""
    return _beside(
        "file of requests",
        file_per_s,
        batch_per_s,
        peer="batches",
        floor=FLOOR_SHARE,
        aim=AIM_SHARE,
    )


def wrong_finding(wrong_per_s: float, right_per_s: float) -> Finding:
    """A file of which half is wrong beside one that is right."""
    return _beside(
        "file, half of its rows wrong",
        wrong_per_s,
        right_per_s,
        peer="all right",
        floor=FLOOR_WRONG,
        aim=AIM_WRONG,
    )


def _beside(
    benchmark: str, ours: float, other: float, *, peer: str, floor: float, aim: float
) -> Finding:
    share = ours / other
    return Finding(
        benchmark=benchmark,
        result=f"{number(ours)} rows/s",
        peer=f"{peer} {number(other)}/s",
        ratio=share,
        floor=f"{floor:.0%}",
        aim=f"{aim:.0%}",
        floor_met=share >= floor,
        aim_met=share >= aim,
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
