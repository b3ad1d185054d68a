"""How a process of the platform shares the cores with its neighbours."""

import contextlib
import os
from pathlib import Path


def take_long_turns() -> None:
    """Let nobody who wakes up take the core from this process in the middle of its turn.

    Many processes share few cores here, and each works on batches: what is interrupted finds its
    caches cold when it goes on. Linux's `SCHED_BATCH` (sched(7)) says that all of them can wait for
    the end of a turn, some milliseconds. It holds for all threads that there are, and for threads
    and processes that they start later. Where it can't be had, all stays as it is.
    """
    for thread in Path("/proc/self/task").glob("*"):
        # The thread has ended meanwhile, or the container does not allow it.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(int(thread.name), os.SCHED_BATCH, os.sched_param(0))
