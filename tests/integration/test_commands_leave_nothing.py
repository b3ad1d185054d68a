"""What the command line leaves behind when it is interrupted, and what it says when it can't.

It stands before the tests of the running platform: a process that drives one Ray cluster is no
shell to start another from.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdp.embedded import processes
from cdp.embedded.state import StateFolder
from tests.waiting import eventually_sync

PORTS = ("MONGO", "MAILBOX_SMTP", "MAILBOX_HTTP", "HTTP", "RAY", "DASHBOARD")


def environment(root: Path, **changes: str) -> dict[str, str]:
    ports = {f"CDP_{name}_PORT": str(processes.free_port()) for name in PORTS}
    # As in a fresh shell: Ray has left the address of the tests' own cluster in this process.
    shell = {k: v for k, v in os.environ.items() if not k.startswith(("CDP_", "RAY_"))}
    return {**shell, "CDP_STATE_DIR": str(root), **ports, **changes}


def cdp(*arguments: str, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cdp.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextmanager
def nothing_left(root: Path) -> Iterator[StateFolder]:
    state = StateFolder.open(root)
    try:
        yield state
        assert processes.processes_of(state.instance) == []
    finally:
        processes.end_all(state.instance, grace_s=2)


@pytest.mark.timeout(300)
def test_a_demo_that_is_interrupted_while_ray_starts_leaves_no_process(tmp_path):
    """By Ctrl-C; that other signals do the same is held in `tests/unit/cli/test_demo.py`."""
    with nothing_left(tmp_path) as state:
        demo = cdp("demo", env=environment(tmp_path))
        eventually_sync(lambda: processes.processes_named(state.instance, "raylet"), within_s=150)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=120)

        assert demo.returncode != 0


def test_a_taken_port_is_one_clear_sentence(tmp_path):
    with socket.socket() as taken, nothing_left(tmp_path):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        up = cdp("up", env=environment(tmp_path, CDP_HTTP_PORT=port))
        _, complaint = up.communicate(timeout=60)

    assert up.returncode == 1
    assert port in complaint
    assert "CDP_HTTP_PORT" in complaint
    assert "Traceback" not in complaint


def test_a_port_that_ray_keeps_for_its_workers_is_one_clear_sentence(tmp_path):
    up = cdp("up", env=environment(tmp_path, CDP_RAY_PORT="12000"))
    _, complaint = up.communicate(timeout=60)

    assert up.returncode == 1
    assert "CDP_RAY_PORT" in complaint
    assert "10002 to 19999" in complaint


def test_a_state_folder_that_cannot_be_is_one_clear_sentence(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")

    up = cdp("up", env=environment(blocked / "state"))
    _, complaint = up.communicate(timeout=60)

    assert up.returncode == 1
    assert "state folder" in complaint
    assert "Traceback" not in complaint


def test_a_misspelt_setting_is_refused(tmp_path):
    up = cdp("up", env=environment(tmp_path, CDP_MONGO_URL="mongodb://elsewhere"))
    _, complaint = up.communicate(timeout=60)

    assert up.returncode == 1
    assert "CDP_MONGO_URL" in complaint


def test_o7_the_embedded_mongodb_is_refused_in_production(tmp_path):
    up = cdp("up", env=environment(tmp_path, CDP_ENV="production"))
    _, complaint = up.communicate(timeout=60)

    assert up.returncode == 1
    assert "CDP_MONGO_URI" in complaint
