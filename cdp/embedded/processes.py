"""Finding and ending the processes of one installation, and finding ports.

A process is ours when its environment carries the installation's mark: pids are used again by
the system, and orphans (a proxy whose parent was killed) have no parent to be found by.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from cdp.embedded.state import INSTANCE_VARIABLE, EmbeddedError

LOOPBACK: Final = "127.0.0.1"
FREE_PORTS: Final = range(20_000, 32_000)
_POLL_S: Final = 0.05


def processes_of(instance: str) -> list[psutil.Process]:
    """Every living process that carries the mark, oldest first.

    A program that rewrites its title may overwrite the environment that the system shows; such
    a one is found as a child, by `end_all`.
    """
    found = [process for process in psutil.process_iter() if is_ours(process, instance)]
    return sorted(found, key=_age_order)


def processes_named(instance: str, word: str) -> list[psutil.Process]:
    """Those of `processes_of` with this word in their name, such as raylet."""
    return with_name(processes_of(instance), word)


def with_name(processes: Iterable[psutil.Process], word: str) -> list[psutil.Process]:
    """Those with this word in their name; one that has ended meanwhile has none."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if word in process.name():
                found.append(process)
    return found


def is_ours(process: psutil.Process, instance: str) -> bool:
    """Whether the process lives and carries the mark."""
    try:
        return is_alive(process) and process.environ().get(INSTANCE_VARIABLE) == instance
    except (psutil.Error, OSError):
        # Gone meanwhile, or another user's.
        return False


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie that nobody has reaped counts as gone."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_all(instance: str, grace_s: float) -> int:
    """End every process of the installation and their children: SIGTERM, wait, SIGKILL.

    Never the calling process, nor one that it descends from.

    Returns:
        How many had to be ended.
    """
    marked = processes_of(instance)
    victims = _with_children(marked)
    end(victims, grace_s)
    # What was started while the others were ending.
    late = _with_children(processes_of(instance))
    end(late, grace_s)
    return len(victims) + len(late)


def end(processes: Iterable[psutil.Process], grace_s: float) -> None:
    """SIGTERM to each, and SIGKILL to those that still live after the grace."""
    living = [process for process in processes if is_alive(process)]
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    living = wait_gone(living, grace_s)
    for process in living:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_gone(living, 5.0)


def wait_gone(processes: Iterable[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Wait until all are gone.

    Returns:
        Those that still live.
    """
    give_up_at = time.monotonic() + within_s
    living = [process for process in processes if is_alive(process)]
    while living and time.monotonic() < give_up_at:
        time.sleep(_POLL_S)
        for process in living:
            reap(process.pid)
        living = [process for process in living if is_alive(process)]
    return living


def port_is_free(port: int) -> bool:
    """Whether nothing listens on this port of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections only linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that was free a moment ago, for tests and for what nobody else has to find.

    It is not one of those that Linux gives to connections (from 32,768), nor that Ray gives to its
    workers (up to 19,999), which would take it before it is used.
    """
    # Not by `random`, which test runners seed: two of them would then ask for the same ports.
    while not port_is_free(port := secrets.choice(FREE_PORTS)):
        pass
    return port


def require_free_port(port: int, *, what: str, variable: str) -> None:
    """Refuse a port that somebody listens on.

    Raises:
        EmbeddedError: it names the port and the setting that changes it.
    """
    if not port_is_free(port):
        raise EmbeddedError(
            f"Port {port}, which {what} needs, is taken: "
            f"end what listens there, or set {variable} to another port."
        )


async def answers(port: int, *, greeting: bytes = b"", within_s: float = 1.0) -> bool:
    """Whether a server takes a connection on this port and, if asked for, greets with this."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                return not greeting or await reader.readexactly(len(greeting)) == greeting
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError):
        return False


def read_pid(path: Path) -> int | None:
    """The pid in a pid file, or None."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def our_process(pid: int | None, instance: str) -> psutil.Process | None:
    """The process with this pid if it is alive and ours."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
    except psutil.Error:
        return None
    return process if is_ours(process, instance) else None


def reap(pid: int) -> None:
    """Take the exit code if it is our own child, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _with_children(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in processes:
        found[process.pid] = process
        if process.pid in spared:
            # A marked ancestor, such as a shell: its other children are not ours to judge.
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in process.children(recursive=True):
                found.setdefault(child.pid, child)
    return [process for pid, process in found.items() if pid not in spared]


def _age_order(process: psutil.Process) -> tuple[float, int]:
    try:
        return process.create_time(), process.pid
    except psutil.NoSuchProcess:
        return 0.0, process.pid
