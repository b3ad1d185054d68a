"""Starts what a benchmark needs beside itself and ends all of it, by the process ids it recorded.

Each service runs in a session of its own. Its id and start time stand in `services.json` of the
state folder, so that `stop_recorded` can end what a killed benchmark has left, and nothing else.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_RECORD: Final = "services.json"
_POLL_S: Final = 0.02


class ServiceFailed(RuntimeError):
    """A service ended, or was not ready, or did not end, within its time."""


@dataclass(slots=True, kw_only=True)
class Service:
    """One started process, the head of its own session."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group and session too."""
        return self.process.pid

    def wait_until(self, ready: Callable[[], bool], *, within_s: float) -> None:
        """Wait till `ready` says so; fails early, with the end of the log, if the service dies."""
        deadline = time.monotonic() + within_s
        while not ready():
            if self.process.poll() is not None:
                raise ServiceFailed(f"{self.name} ended early:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServiceFailed(
                    f"{self.name} was not ready in {within_s} s:\n{self.log_tail()}"
                )
            time.sleep(_POLL_S)

    def stop(self, *, within_s: float = 15) -> None:
        """Ask it to end; kill its group if it has not done so in time."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(within_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(within_s)

    def log_tail(self) -> str:
        """The last 2 kB of what it printed."""
        return self.log.read_bytes()[-2_000:].decode(errors="replace")


class Services:
    """What one side of a benchmark has started, in order; `close` ends it in reverse."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Service] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        stdout: Path | None = None,
    ) -> Service:
        """Start `command`; its output goes to NAME.log, or what is on stdout to `stdout`.

        Args:
            user: run as this user. Only root can change the user, all others stay who they are.
        """
        log = self._folder / f"{name}.log"
        as_user = user if user is not None and os.geteuid() == 0 else None
        with log.open("ab") as errors, (stdout or log).open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=self._folder,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                user=as_user,
                group=pwd.getpwnam(as_user).pw_gid if as_user else None,
                extra_groups=[] if as_user else None,
            )
        service = Service(name=name, process=process, log=log, stop_signal=stop_signal)
        self._running.append(service)
        self._record()
        return service

    def stop(self, service: Service) -> None:
        """End one of them and forget it."""
        service.stop()
        self._running.remove(service)
        self._record()

    def close(self) -> None:
        """End all, the last started first; one that resists does not keep the others alive."""
        troubles: list[Exception] = []
        while self._running:
            service = self._running.pop()
            try:
                service.stop()
            except Exception as trouble:
                troubles.append(trouble)
        self._record()
        if troubles:
            raise ExceptionGroup("not all services ended", troubles)

    def _record(self) -> None:
        entries = [
            {"name": each.name, "pid": each.pid, "started": start_time(each.pid)}
            for each in self._running
        ]
        (self._folder / _RECORD).write_text(json.dumps(entries))


def stop_recorded(folder: Path) -> list[str]:
    """End what a benchmark that was killed has left running; returns the names.

    A process whose start time differs from the recorded one is another's and is left alone.
    """
    stopped = []
    for entry in reversed(json.loads((folder / _RECORD).read_text())):
        if start_time(entry["pid"]) == entry["started"] is not None:
            os.kill(entry["pid"], signal.SIGTERM)
            deadline = time.monotonic() + 15
            while start_time(entry["pid"]) == entry["started"] and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(entry["pid"], signal.SIGKILL)
            stopped.append(str(entry["name"]))
    return stopped


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] == b"Z" else int(fields[19])


@contextlib.contextmanager
def state_folder(given: Path | None = None) -> Iterator[Path]:
    """A fresh folder for databases and logs, removed at the end.

    Refuses a folder in memory: there a durable commit would cost nothing.
    """
    folder = Path(tempfile.mkdtemp(prefix="cdp-bench-", dir=given))
    try:
        # Other users (postgres, nobody) must reach their own folders below it.
        folder.chmod(0o711)
        if in_memory(folder):
            raise ServiceFailed("the state folder is in memory; name one on a disk")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_memory(folder: Path) -> bool:
    """Whether the folder is on a tmpfs or ramfs, by the longest mount point above it."""
    best, kind = "", ""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, fs_type, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fs_type
    return kind in {"tmpfs", "ramfs"}


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether something listens on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def find_program(name: str, *folders: str) -> str:
    """The path of a program on PATH or in one of `folders` (which may hold `*`)."""
    if found := shutil.which(name):
        return found
    for folder in folders:
        for candidate in sorted(Path("/").glob(f"{folder.lstrip('/')}/{name}"), reverse=True):
            return str(candidate)
    raise ServiceFailed(f"{name} is not installed")
