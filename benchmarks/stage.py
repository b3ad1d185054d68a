"""What the benchmarks of one run share: the sink, the platform and the peer, each started once.

A `bench_*.py` is a `Benchmark`; `main` runs one by itself, `python -m benchmarks` all of them.
"""

import argparse
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.findings import Elsewhere, Finding, print_findings
from benchmarks.peers.run import Peer
from benchmarks.platform import BenchClient, PlatformUnderTest, other_clusters
from benchmarks.tools import ServiceFailed, SmtpSink, run, state_folder


class Stage:
    """The parts of one run. Each is started when it is first asked for, and ended with the run."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.rate_per_s: float | None = None
        """What `bench_at_once` has measured, for those whose load depends on it."""
        self.elsewhere = Elsewhere()
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._sink: SmtpSink | None = None
        self._platform: PlatformUnderTest | None = None
        self._peer: Peer | None = None
        self._clients = 0

    def __enter__(self) -> Self:
        if running := other_clusters():
            print(f"WARNING: {running} other Ray cluster(s) run here; no number below counts.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        trouble: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def folder(self) -> Path:
        """The state folder of this run."""
        if self._folder is None:
            self._folder = self._stack.enter_context(state_folder())
        return self._folder

    @property
    def sink(self) -> SmtpSink:
        """Where both sides deliver to."""
        if self._sink is None:
            self._sink = self._stack.enter_context(SmtpSink(self.folder))
        return self._sink

    @property
    def platform(self) -> PlatformUnderTest:
        """The platform, which takes half a minute to start."""
        if self._platform is None:
            print("Starting the platform ...", flush=True)
            self._platform = self._stack.enter_context(
                PlatformUnderTest(self.folder, smtp_port=self.sink.port)
            )
        return self._platform

    async def client(self, name: str, *, backlog_max: int | None = None) -> BenchClient:
        """A client of the platform that no other benchmark of this run has."""
        self._clients += 1
        return await self.platform.client(f"{name}-{self._clients}", backlog_max=backlog_max)

    def peer(self, *, deliver: bool) -> Peer:
        """The peer, empty, with Celery running or not."""
        if self._peer is None:
            print("Starting the peer ...", flush=True)
            self._peer = self._stack.enter_context(
                Peer(self.folder, smtp_port=self.sink.port, deliver=False)
            )
        running = "celery" in self._peer.pids
        if running and not deliver:
            self._peer.stop_delivery()
        self._peer.reset()
        if deliver and not running:
            # Tasks of records that are gone are taken and dropped.
            self._peer.start_delivery()
        return self._peer

    @property
    def beside(self) -> dict[str, int]:
        """The processes that serve both sides, for the meters."""
        return {"smtp-sink": self.sink.pid, "load generator": os.getpid()}

    async def aclose(self) -> None:
        """Close what belongs to the event loop."""
        if self._platform is not None:
            await self._platform.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One question and who answers it."""

    name: str
    measure: Callable[[Stage], Awaitable[list[Finding]]]


def run_benchmarks(benchmarks: Sequence[Benchmark], *, quick: bool) -> int:
    """Run these in order on one stage and print the closing table.

    Returns:
        The exit status: 1 if one broke off, 0 otherwise, also if a floor was missed.
    """
    # So that a plain kill, too, leaves by the context managers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    findings: list[Finding] = []
    broken: list[str] = []
    with Stage(quick=quick) as stage:
        run(_all(benchmarks, stage, findings, broken))
    print_findings(findings, title="Results" + (", quick sizes" if quick else ""))
    if broken:
        print(f"BROKEN OFF: {', '.join(broken)}")
    return 1 if broken else 0


async def _all(
    benchmarks: Sequence[Benchmark], stage: Stage, findings: list[Finding], broken: list[str]
) -> None:
    try:
        for each in benchmarks:
            print(f"\n== {each.name} ==", flush=True)
            try:
                findings += await each.measure(stage)
            except (ServiceFailed, OSError, AssertionError, RuntimeError) as trouble:
                print(f"{each.name} broke off: {type(trouble).__name__}: {trouble}", flush=True)
                broken.append(each.name)
    finally:
        await stage.aclose()


def main(benchmark: Benchmark, arguments: Sequence[str] | None = None) -> None:
    """The command line of one benchmark."""
    parser = argparse.ArgumentParser(description=f"The benchmark {benchmark.name}.")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    sys.exit(run_benchmarks([benchmark], quick=parser.parse_args(arguments).quick))
