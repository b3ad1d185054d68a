"""What a benchmark found, beside its floor and its aim, and the one table at the end of a run."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.tools import CpuSeconds, machine, machine_busy_s, number

DISTURBED_CORES: Final = 0.3
_WIDTH: Final = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the closing table."""

    benchmark: str
    result: str
    peer: str = "-"
    ratio: float | None = None
    floor: str
    aim: str
    floor_met: bool
    aim_met: bool

    @property
    def verdict(self) -> str:
        """In one word."""
        if not self.floor_met:
            return "MISSED"
        return "aim" if self.aim_met else "floor"


def print_findings(findings: Sequence[Finding], *, title: str) -> None:
    """Print the closing table, and which floors were missed."""
    table = Table(title=title, title_justify="left", caption=machine(), caption_justify="left")
    for name in ("benchmark", "result", "peer", "ratio", "floor", "aim", "verdict"):
        table.add_column(name, justify="right" if name == "ratio" else "left")
    for each in findings:
        ratio = "-" if each.ratio is None else f"{each.ratio:.2f}"
        style = None if each.floor_met else "bold red"
        table.add_row(
            *(each.benchmark, each.result, each.peer, ratio, each.floor, each.aim, each.verdict),
            style=style,
        )
    console = Console()
    (console if console.is_terminal else Console(width=_WIDTH)).print(table)
    missed = [each.benchmark for each in findings if not each.floor_met]
    if missed:
        print(f"MISSED floors: {', '.join(missed)}")
    elif findings:
        print("Every floor holds.")


class Elsewhere:
    """How much of the machine others took while something was measured.

    Start one before the round and `note` after it, with what the measured processes spent.
    """

    def __init__(self) -> None:
        self.cores: list[float] = []
        self._busy = self._at = 0.0

    def start(self) -> None:
        """A round begins."""
        self._busy, self._at = machine_busy_s(), time.perf_counter()

    def note(self, measured: CpuSeconds) -> None:
        """It has ended."""
        elapsed = time.perf_counter() - self._at
        others = machine_busy_s() - self._busy - measured.total
        self.cores.append(max(0.0, others) / elapsed)

    def line(self) -> str:
        """The rounds since the last line: a reader should not trust a disturbed run."""
        worst = max(self.cores)
        trust = "" if worst < DISTURBED_CORES else ": DISTURBED, measure again on a quiet machine"
        shown = ", ".join(number(each) for each in self.cores)
        self.cores = []
        return f"Others took, round by round, {shown} cores{trust}"


def median(values: Sequence[float]) -> float:
    """The middle one of the rounds."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the values lie."""
    assert values
    assert 0 < percent <= 100
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
