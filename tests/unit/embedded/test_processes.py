import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from cdp.embedded import processes
from cdp.embedded.state import INSTANCE_VARIABLE, EmbeddedError
from tests.waiting import eventually_sync


@pytest.fixture
def instance():
    mark = secrets.token_hex(8)
    yield mark
    processes.end_all(mark, grace_s=1)


def start(instance: str, script: str) -> subprocess.Popen[str]:
    """A shell whose output says when the script has got that far."""
    return subprocess.Popen(
        ["/bin/sh", "-c", script],
        env={**os.environ, INSTANCE_VARIABLE: instance},
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(shell: subprocess.Popen[str]) -> str:
    assert shell.stdout is not None
    return shell.stdout.readline()


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_an_orphan_is_found_and_ended(instance):
    # The shell is gone, and its child belongs to nobody.
    with start(instance, "sleep 60 >/dev/null & echo $!") as shell:
        pid = int(line_of(shell))
        shell.wait()

    assert [process.pid for process in processes.processes_of(instance)] == [pid]
    assert processes.end_all(instance, grace_s=2) == 1
    assert processes.processes_of(instance) == []


def test_a_child_that_lost_the_mark_is_ended_with_its_parent(instance):
    script = f"env -u {INSTANCE_VARIABLE} sleep 60 >/dev/null & echo $!; wait"
    with start(instance, script) as shell:
        child = psutil.Process(int(line_of(shell)))
        eventually_sync(lambda: child.name() == "sleep", within_s=10)

        processes.end_all(instance, grace_s=2)

        assert not processes.is_alive(child)
        assert processes.processes_of(instance) == []


def test_what_does_not_end_is_killed(instance):
    with start(instance, "trap '' TERM; echo ready; sleep 60; sleep 60; sleep 60") as shell:
        line_of(shell)

        processes.end_all(instance, grace_s=0.2)

        assert processes.processes_of(instance) == []


def test_what_ends_while_it_is_looked_at_has_no_name(instance):
    with start(instance, "exec sleep 60") as shell:
        eventually_sync(lambda: processes.processes_named(instance, "sleep"), within_s=10)
        seen = processes.processes_of(instance)
        shell.kill()

    assert [process.pid for process in seen] == [shell.pid]
    assert processes.with_name(seen, "sleep") == []


def test_other_installations_are_left_alone(instance):
    with start(instance, "echo ready; exec sleep 60") as shell:
        line_of(shell)

        assert processes.end_all("another", grace_s=1) == 0

        assert shell.poll() is None
        processes.end_all(instance, grace_s=1)


def test_the_caller_and_those_above_it_are_spared(instance):
    program = (
        f"from cdp.embedded.processes import end_all\nprint(end_all({instance!r}, 1.0), 'alive')"
    )
    script = f'sleep 60 >/dev/null & {sys.executable} -c "{program}"; echo and above'

    with start(instance, script) as shell:
        output, _ = shell.communicate(timeout=30)

    # The sleep is a sibling, marked itself.
    assert output == "1 alive\nand above\n"


def test_a_pid_of_another_process_is_not_ours(instance, tmp_path):
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")

    pid = processes.read_pid(tmp_path / "pid")

    assert pid == os.getpid()
    assert processes.our_process(pid, instance) is None
    assert processes.read_pid(tmp_path / "none") is None


def test_a_taken_port_is_named_with_the_setting_that_changes_it():
    with listening() as port:
        assert not processes.port_is_free(port)
        with pytest.raises(EmbeddedError, match=f"Port {port}.*CDP_MONGO_PORT"):
            processes.require_free_port(port, what="MongoDB", variable="CDP_MONGO_PORT")

    assert processes.port_is_free(port)


def test_a_free_port_is_free():
    assert processes.port_is_free(processes.free_port())


async def test_a_port_answers_when_somebody_greets_there():
    with listening() as port:
        assert await processes.answers(port)
        assert not await processes.answers(port, greeting=b"220", within_s=0.1)

    assert not await processes.answers(port)
