"""Who spent the processor time: user + system seconds of named groups of processes, from /proc."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One line of /proc/PID/stat, as far as it matters here."""

    pid: int
    parent: int
    command: str
    seconds: float
    """User and system time of itself and of the children that it has reaped."""


@dataclass(frozen=True, slots=True)
class CpuSeconds:
    """CPU seconds by name, at a moment or between two."""

    by_name: Mapping[str, float]

    @property
    def total(self) -> float:
        """The sum over all names."""
        return sum(self.by_name.values())

    def __sub__(self, earlier: "CpuSeconds") -> "CpuSeconds":
        spent = {
            name: max(0.0, seconds - earlier.by_name.get(name, 0.0))
            for name, seconds in self.by_name.items()
        }
        return CpuSeconds(spent)

    def per(self, count: int) -> dict[str, float]:
        """Microseconds for each of `count` things, by name."""
        return {name: seconds * 1e6 / count for name, seconds in self.by_name.items()}

    def group(self, prefix: str) -> float:
        """The sum over the names that are `prefix` or begin with `prefix` and a blank."""
        return sum(
            seconds
            for name, seconds in self.by_name.items()
            if name == prefix or name.startswith(prefix + " ")
        )


class CpuMeter:
    """Adds up groups of processes: each root that is named, and all below it.

    A process counts for the nearest root above it, so the benchmark itself can be a root although
    it started the others. Children that ended are counted with the parent that reaped them.

    Args:
        roots: group name to the process id, or ids, at its head.
        label: what to append to a group's name for one process, to see its kinds apart, or "";
            by default the children of a root are told from the root. Ray's actors, for one, are
            told by their title: `label=lambda each, root: each.command`.
    """

    def __init__(
        self,
        roots: Mapping[str, int | Iterable[int]],
        label: Callable[[Process, bool], str] | None = None,
    ) -> None:
        self._roots: dict[int, str] = {}
        for name, pids in roots.items():
            for pid in (pids,) if isinstance(pids, int) else pids:
                self._roots[pid] = name
        self._label = label or _main_or_children

    def read(self) -> CpuSeconds:
        """The CPU seconds spent until now; subtract two readings."""
        table = {each.pid: each for each in processes()}
        sums: defaultdict[str, float] = defaultdict(float)
        for each in table.values():
            root = self._root_of(each, table)
            if root is not None:
                kind = self._label(each, each.pid == root)
                sums[f"{self._roots[root]} {kind}".rstrip()] += each.seconds
        return CpuSeconds(dict(sums))

    def _root_of(self, process: Process, table: Mapping[int, Process]) -> int | None:
        at: Process | None = process
        while at is not None:
            if at.pid in self._roots:
                return at.pid
            at = table.get(at.parent)
        return None


def machine_busy_s() -> float:
    """Seconds that all processors of this machine have spent on anything."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _idle, _iowait, *interrupts = (int(field) for field in fields[:8])
    return (user + nice + system + sum(interrupts)) * _TICK_S


def processes() -> list[Process]:
    """All processes of this machine that can be read."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.append(_parse(int(folder.name), stat))
    return found


def _parse(pid: int, stat: bytes) -> Process:
    # The command stands in parentheses and may itself hold blanks and parentheses.
    command, _, rest = stat[stat.index(b"(") + 1 :].rpartition(b") ")
    fields = rest.split()
    ticks = sum(int(field) for field in fields[11:15])
    return Process(
        pid=pid,
        parent=int(fields[1]),
        command=command.decode(errors="replace"),
        seconds=ticks * _TICK_S,
    )


def _main_or_children(_process: Process, root: bool) -> str:
    return "" if root else "(children)"
