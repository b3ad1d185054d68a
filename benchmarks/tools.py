"""The neutral tools of all benchmarks: the SMTP sink, the load generator, CPU, the table.

One import for a `bench_*.py`; both sides are measured with the same of each.
"""

import asyncio
import os
import platform
import re
import statistics
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.cpu import CpuMeter, CpuSeconds, Process, machine_busy_s, processes
from benchmarks.loadgen import LoadFailed, LoadResult, post_many
from benchmarks.processes import (
    Service,
    ServiceFailed,
    Services,
    answers,
    find_program,
    free_port,
    state_folder,
    stop_recorded,
)

__all__ = [
    "CpuMeter",
    "CpuSeconds",
    "Drain",
    "LoadFailed",
    "LoadResult",
    "Process",
    "Row",
    "Service",
    "ServiceFailed",
    "Services",
    "SmtpSink",
    "answers",
    "find_program",
    "free_port",
    "machine",
    "machine_busy_s",
    "number",
    "post_many",
    "print_comparison",
    "print_cpu",
    "processes",
    "run",
    "state_folder",
    "stop_recorded",
]

_POLL_S: Final = 0.005
_COUNT: Final = re.compile(rb"mesg=(\d+)\s")
_TAIL_BYTES: Final = 128
_COUNTER_LIMIT_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How the sink filled: from the first message that was seen to the last one awaited."""

    messages: int
    seconds: float
    first_at: float
    """`time.perf_counter()` when the first one was seen; the poll's step is 5 ms."""
    last_at: float

    @property
    def per_second(self) -> float:
        """Messages a second between the first and the last."""
        return self.messages / self.seconds if self.seconds else float("inf")


class SmtpSink:
    """Postfix's `smtp-sink`: takes every message, keeps none, costs some 40 us a message.

    With `-c` it prints its counters after each message; the last line of that file is the count.
    """

    def __init__(self, folder: Path, *, connections: int = 512) -> None:
        self.port = free_port()
        self._services = Services(_made(folder / "sink"))
        self._counters = folder / "sink" / "counters"
        self._connections = connections
        self._service: Service | None = None

    def __enter__(self) -> Self:
        program = find_program("smtp-sink", "/usr/sbin", "/usr/lib/postfix/sbin")
        # smtp-sink refuses to run as root and asks for the user to become.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        limit = ["-m", str(self._connections)]
        self._service = self._services.start(
            "smtp-sink",
            [program, *user, "-c", *limit, f"inet:127.0.0.1:{self.port}", "512"],
            stdout=self._counters,
        )
        self._service.wait_until(lambda: answers(self.port), within_s=10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        trouble: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._services.close()

    @property
    def pid(self) -> int:
        """For the `CpuMeter`."""
        assert self._service is not None
        return self._service.pid

    @property
    def received(self) -> int:
        """How many messages came since the sink was started."""
        with self._counters.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size > _COUNTER_LIMIT_BYTES:
                raise ServiceFailed("the sink has counted for too long; start a new one")
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
        # The last line may be half written yet.
        counts = _COUNT.findall(tail)
        return int(counts[-1]) if counts else 0

    async def wait_for(self, messages: int, *, since: int, within_s: float) -> Drain:
        """Wait till `messages` more have come than the `since` that `received` said before.

        Raises:
            ServiceFailed: they had not come in time, or more came than were sent.
        """
        started = time.perf_counter()
        first_at: float | None = None
        while (count := self.received - since) < messages:
            now = time.perf_counter()
            if count > 0 and first_at is None:
                first_at = now
            if now - started > within_s:
                raise ServiceFailed(f"{count} of {messages} messages within {within_s} s")
            await asyncio.sleep(_POLL_S)
        last_at = time.perf_counter()
        if count > messages:
            raise ServiceFailed(f"{count} messages where {messages} were sent")
        first_at = last_at if first_at is None else first_at
        return Drain(
            messages=messages, seconds=last_at - first_at, first_at=first_at, last_at=last_at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure of the table: of each side, one value a round."""

    name: str
    unit: str
    rounds: Mapping[str, Sequence[float]]
    higher_is_better: bool = True


def print_comparison(
    title: str, rows: Sequence[Row], *, ours: str = "platform", peer: str = "peer"
) -> None:
    """Print medians, all rounds, and the ratio: above 1, `ours` is the better one."""
    table = Table(title=title, title_justify="left", caption=machine(), caption_justify="left")
    table.add_column("measure")
    for side in (ours, peer):
        table.add_column(f"{side}, median", justify="right")
        table.add_column("rounds", justify="right", style="dim")
    table.add_column("ratio", justify="right", style="bold")
    for row in rows:
        cells = []
        for side in (ours, peer):
            cells += [number(statistics.median(row.rounds[side])), _list(row.rounds[side])]
        table.add_row(f"{row.name}, {row.unit}", *cells, f"{_ratio(row, ours, peer):.2f}")
    _console().print(table)


def print_cpu(title: str, spent: Mapping[str, CpuSeconds], count: int) -> None:
    """Print the CPU microseconds for each of `count` things, process by process, side by side."""
    table = Table(title=title, title_justify="left")
    table.add_column("side")
    table.add_column("process")
    table.add_column("CPU us each", justify="right")
    for side, seconds in spent.items():
        for name, each in sorted(seconds.per(count).items(), key=lambda pair: -pair[1]):
            table.add_row(side, name, number(each))
        table.add_row(side, "sum", number(seconds.total * 1e6 / count), style="bold")
    _console().print(table)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a benchmark's coroutine on uvloop, on which the load generator costs a third."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def number(value: float) -> str:
    """Three digits that count, thousands set apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def machine() -> str:
    """What the numbers were made on, without naming it."""
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{os.cpu_count()} x {models[0] if models else platform.machine()}, {memory_gb:.0f} GB, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def _list(values: Sequence[float]) -> str:
    return ", ".join(number(value) for value in values)


def _ratio(row: Row, ours: str, peer: str) -> float:
    mine, other = (statistics.median(row.rounds[side]) for side in (ours, peer))
    return mine / other if row.higher_is_better else other / mine


def _console() -> Console:
    # A file or a pipe has no width of its own; 80 columns would fold the table.
    console = Console()
    return console if console.is_terminal else Console(width=140)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
