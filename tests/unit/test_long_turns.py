import os
import subprocess
import sys

SCRIPT = """
import os, subprocess, sys, threading
from cdp.long_turns import take_long_turns

def policy_of(thread):
    print(os.sched_getscheduler(thread), flush=True)

ended = threading.Event()
before = threading.Thread(target=ended.wait)
before.start()
take_long_turns()
later = threading.Thread(target=ended.wait)
later.start()
for thread in (threading.main_thread(), before, later):
    policy_of(thread.native_id)
ended.set()
subprocess.run([sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], check=True)
"""


def test_threads_of_before_and_after_and_later_processes_take_long_turns():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == [str(os.SCHED_BATCH)] * 4
