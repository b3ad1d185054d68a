"""What the benchmark of files says at, below and above each of its floors."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks import file_findings as findings
from benchmarks.file_work import FileRun
from benchmarks.platform_processes import PeakMemory, component_of
from benchmarks.processes import ServiceFailed
from benchmarks.spans import Timeline
from benchmarks.urgent_probe import STEPS, Latency, urgent_finding
from tests.waiting import eventually

BEGAN = datetime(2026, 11, 27, tzinfo=UTC)


def run_of(rows: int, seconds: float) -> FileRun:
    return FileRun(
        rows=rows, accepted=rows, rejected=0, seconds=seconds, upload_s=1.0, reading_s=seconds
    )


def latency_of(*seconds: float) -> Latency:
    last = len(STEPS) - 1
    found = [
        Timeline(at={s: BEGAN + timedelta(seconds=each * i / last) for i, s in enumerate(STEPS)})
        for each in seconds
    ]
    return Latency(found=found, post=list(seconds))


@pytest.mark.parametrize(
    ("file", "batches", "verdict"),
    [(699, 1_000, "MISSED"), (700, 1_000, "floor"), (999, 1_000, "floor"), (1_000, 1_000, "aim")],
)
def test_a_file_is_held_against_the_batch_endpoint(file, batches, verdict):
    finding = findings.share_finding(file, batches)

    assert (finding.verdict, finding.ratio) == (verdict, file / batches)


@pytest.mark.parametrize(
    ("wrong", "right", "verdict"),
    [(949, 1_000, "MISSED"), (950, 1_000, "floor"), (1_400, 1_000, "aim")],
)
def test_wrong_rows_must_not_be_slower_than_right_ones(wrong, right, verdict):
    assert findings.wrong_finding(wrong, right).verdict == verdict


@pytest.mark.parametrize(
    ("rows", "seconds", "verdict"),
    [
        (1_000_000, 301, "MISSED"),
        (1_000_000, 300, "floor"),
        (1_000_000, 150, "aim"),
        (50_000, 16, "MISSED"),
        (50_000, 15, "floor"),
    ],
)
def test_a_million_rows_take_five_minutes_at_most_and_fewer_as_much_less(rows, seconds, verdict):
    assert findings.time_finding(run_of(rows, seconds)).verdict == verdict


@pytest.mark.parametrize(
    ("growth", "verdict"), [(0, "aim"), (100, "floor"), (299, "floor"), (300, "MISSED")]
)
def test_the_memory_of_an_ingestion_is_bounded(growth, verdict):
    memory = PeakMemory(os.getpid())
    memory.before_mb, memory.peak_mb = 150.0, 150.0 + growth

    finding = findings.memory_finding(memory, 1_000_000)

    assert finding.verdict == verdict
    assert f"(+{growth}" in finding.result


@pytest.mark.parametrize(
    ("beside", "verdict"),
    [
        ((0.1,) * 99 + (1.9,), "aim"),
        ((0.1,) * 99 + (9.9,), "floor"),
        ((0.1,) * 99 + (10.0,), "MISSED"),
        ((0.1,) * 80 + (2.0,) * 20, "MISSED"),
    ],
)
def test_urgent_messages_are_held_against_those_without_a_file(beside, verdict):
    finding = urgent_finding("urgent", latency_of(*(0.05,) * 100), latency_of(*beside))

    assert finding.verdict == verdict
    assert finding.ratio == pytest.approx(0.05 / max(beside))


def test_the_times_of_urgent_messages_are_shown_with_the_steps_on_the_way():
    shown = latency_of(0.1, 0.2, 0.4).line("idle")

    assert shown.startswith("idle: accept to provider p50 200, p90 400, p99 400 ms, slowest 400; ")
    assert shown.count(" 50.0") == len(STEPS) - 1


async def test_the_peak_of_a_process_is_seen_after_it_has_gone(monkeypatch):
    monkeypatch.setattr(PeakMemory, "SAMPLE_S", 0.01)

    async with PeakMemory(os.getpid()) as memory:
        held: list[bytearray] = [bytearray(b"x") * 64_000_000]
        seen = memory.samples
        await eventually(lambda: memory.samples > seen + 1, within_s=10)
        held.clear()

    assert memory.peak_mb - memory.before_mb > 60
    assert memory.peak_mb - memory.last_mb > 60


def test_a_process_that_has_gone_breaks_the_benchmark_off():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    with pytest.raises(ServiceFailed, match="gone"):
        PeakMemory(gone.pid)


@pytest.mark.parametrize("name", ["FileIngestion", "QueueShard", "SftpGateway"])
def test_an_actor_is_named_as_in_the_code(name):
    assert component_of([f"ray::{name}"]) == name
    assert component_of([f"ray::{name}.ping"]) == name
