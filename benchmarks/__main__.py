"""Runs the benchmarks, all or those that are named, and prints one table at the end.

    python -m benchmarks                 all, some 50 minutes on 2 cores
    python -m benchmarks --quick         all with small sizes, some 10 minutes
    python -m benchmarks at_once urgent  these two

A missed floor is said clearly and is no error; the exit status is 1 only if a benchmark broke off.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from benchmarks import (
    bench_at_once,
    bench_batch_intake,
    bench_configured,
    bench_dkim,
    bench_empty_poll,
    bench_file_rows,
    bench_files,
    bench_memory,
    bench_providers,
    bench_schedule,
    bench_single_post,
    bench_urgent,
)
from benchmarks.stage import Benchmark, run_benchmarks

# The rate of the third is what the schedule is laid out by; memory's leaves a backlog behind.
BENCHMARKS: Final[Sequence[Benchmark]] = (
    bench_single_post.BENCHMARK,
    bench_batch_intake.BENCHMARK,
    bench_at_once.BENCHMARK,
    bench_configured.BENCHMARK,
    bench_urgent.BENCHMARK,
    bench_schedule.BENCHMARK,
    bench_empty_poll.BENCHMARK,
    bench_files.BENCHMARK,
    bench_memory.BENCHMARK,
    bench_dkim.BENCHMARK,
    bench_file_rows.BENCHMARK,
    bench_providers.BENCHMARK,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    names = [each.name for each in BENCHMARKS]
    parser = argparse.ArgumentParser(description="The platform's benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, some 10 minutes")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(names)):
        parser.error(f"there is no benchmark {unknown[0]}: choose from {', '.join(names)}")
    chosen = [each for each in BENCHMARKS if not options.names or each.name in options.names]
    return run_benchmarks(chosen, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
