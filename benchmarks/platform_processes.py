"""The platform's processes by component: who spent the processor time, who holds the memory.

A process belongs to the platform when it, or its parent, carries the installation's mark. It is
named by its title: our actors and deployments as in the code, what is Ray's own as `Ray: ...`.
"""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import psutil

from benchmarks.cpu import CpuSeconds, processes
from benchmarks.processes import ServiceFailed
from cdp.embedded.processes import processes_of

RAY: Final = "Ray:"
SIDE_PROCESSES: Final = ("smtp-sink", "load generator")
"""What is measured beside the platform and is no part of it."""

WATCHED: Final = (f"{RAY} raylet", f"{RAY} gcs_server")
"""They look after each other: one that stands still for long would be held for dead."""

_OURS: Final = frozenset(
    {
        "ClientApi",
        "DeliveryPool",
        "DeliveryTracking",
        "DeliveryWorker",
        "FileIngestion",
        "MessageService",
        "QueueShard",
        "Scheduler",
        "SftpGateway",
        "Supervisor",
    }
)
_BY_COMMAND: Final = (
    ("cdp.rendering.child", "render child"),
    ("cdp.embedded.keeper", "keeper"),
    ("mongod", "mongod"),
    ("haproxy", "HAProxy"),
    ("raylet/raylet", f"{RAY} raylet"),
    ("gcs_server", f"{RAY} gcs_server"),
    ("log_monitor.py", f"{RAY} log monitor"),
    ("monitor.py", f"{RAY} monitor"),
    ("ray.util.client.server", f"{RAY} client server"),
    ("default_worker.py", f"{RAY} idle workers"),
    ("dashboard", f"{RAY} dashboard"),
    ("multiprocessing", f"{RAY} dashboard"),
)


def component_of(command: list[str]) -> str:
    """The component that a process with this command line is."""
    title = command[0].strip() if command else ""
    if title.startswith("ray::"):
        # `ray::ServeReplica:api:ClientApi` or `ray::QueueShard.enqueue`, while a call runs.
        name = title.removeprefix("ray::").partition(".")[0].rpartition(":")[2].split()[0]
        return name if name in _OURS else f"{RAY} {'idle workers' if name == 'IDLE' else name}"
    line = " ".join(command)
    return next((name for part, name in _BY_COMMAND if part in line), f"{RAY} other")


class PlatformMeter:
    """Reads the CPU seconds of one installation's processes, by component.

    Args:
        instance: the installation's mark.
        beside: processes that are no part of it, such as the sink, by name.
    """

    def __init__(self, instance: str, beside: Mapping[str, int]) -> None:
        self._instance = instance
        self._beside = beside

    def read(self) -> CpuSeconds:
        """The seconds spent until now, children that ended included; subtract two readings."""
        pids_by_name = pids_by_component(self._instance)
        seconds = {each.pid: each.seconds for each in processes()}
        sums: defaultdict[str, float] = defaultdict(float)
        for name, pids in pids_by_name.items():
            sums[name] += sum(seconds.get(pid, 0.0) for pid in pids)
        for name, pid in self._beside.items():
            sums[name] += seconds.get(pid, 0.0)
        return CpuSeconds(dict(sums))


def of_platform(spent: CpuSeconds) -> CpuSeconds:
    """Without what was measured beside it."""
    kept = {name: s for name, s in spent.by_name.items() if name not in SIDE_PROCESSES}
    return CpuSeconds(kept)


def pids_by_component(instance: str) -> dict[str, list[int]]:
    """The process ids of each component."""
    # A render child has an empty environment, without the mark: it is found by its parent.
    marked = {process.pid for process in processes_of(instance)}
    parents = {each.pid: each.parent for each in processes()}
    found: defaultdict[str, list[int]] = defaultdict(list)
    for pid, parent in parents.items():
        if pid in marked or parent in marked:
            with suppress(psutil.Error):
                found[component_of(psutil.Process(pid).cmdline())].append(pid)
    return dict(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a group of processes holds, in MB."""

    processes: int
    rss_mb: float
    uss_mb: float
    """What is theirs alone, and would be free without them."""


def memory_by_component(instance: str, names: Iterable[str]) -> dict[str, Memory]:
    """The memory of these components' processes, summed."""
    found = {}
    pids = pids_by_component(instance)
    for name in names:
        infos = []
        for pid in pids.get(name, []):
            with suppress(psutil.Error):
                infos.append(psutil.Process(pid).memory_full_info())
        found[name] = Memory(
            processes=len(infos),
            rss_mb=sum(info.rss for info in infos) / 1e6,
            uss_mb=sum(info.uss for info in infos) / 1e6,
        )
    return found


class PeakMemory:
    """The most that one process has held of its own, read every `SAMPLE_S`.

    async with PeakMemory(pid) as memory:
        ...
    memory.peak_mb - memory.before_mb
    """

    SAMPLE_S: Final = 0.5

    def __init__(self, pid: int) -> None:
        """Its first reading is now.

        Raises:
            ServiceFailed: there is no such process; so do later readings, if it has gone.
        """
        self._pid = pid
        self.before_mb = self.peak_mb = self.last_mb = self._read()
        self.samples = 0
        self._sampling: asyncio.Task[None] | None = None

    def _read(self) -> float:
        try:
            return float(psutil.Process(self._pid).memory_full_info().uss) / 1e6
        except psutil.Error as error:
            raise ServiceFailed("the process whose memory is read has gone") from error

    async def __aenter__(self) -> Self:
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        trouble: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._sampling is not None
        self._sampling.cancel()
        with suppress(asyncio.CancelledError):
            # What went wrong with a reading comes out here: a process that died has no peak.
            await self._sampling
        self._note()

    def _note(self) -> None:
        self.last_mb = self._read()
        self.peak_mb = max(self.peak_mb, self.last_mb)
        self.samples += 1

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(self.SAMPLE_S)
            self._note()


@contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Let these processes stand still meanwhile (SIGSTOP), then go on."""
    halted = list(pids)
    try:
        for pid in halted:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in halted:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
