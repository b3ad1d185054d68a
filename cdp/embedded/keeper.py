"""Keeps mongod and the mailbox alive on one machine. `cdp up` starts it, `cdp down` ends it.

As a program (`python -m cdp.embedded.keeper`) it is the detached process that owns the two. One
keeper a state folder: a lock that dies with its process says which.
"""

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from cdp.embedded import mongod, processes
from cdp.embedded.keeper_status import (
    MAILBOX_URI_VARIABLE,
    STATUS_FILE,
    KeeperOptions,
    KeeperStatus,
    MailboxOptions,
)
from cdp.embedded.mongod import MongodOptions
from cdp.embedded.part import Part
from cdp.embedded.state import EmbeddedError, StateFolder, write_atomically
from cdp.long_turns import take_long_turns
from cdp.storage.bootstrap import BootstrapError
from cdp.storage.mailbox import prepare_mailbox

MODULE: Final = "cdp.embedded.keeper"
MAILBOX_MODULE: Final = "cdp.embedded.mailbox"
SMTP_PORT_VARIABLE: Final = "CDP_MAILBOX_SMTP_PORT"
HTTP_PORT_VARIABLE: Final = "CDP_MAILBOX_HTTP_PORT"
MONGOD_GRACE_S: Final = 20.0
MAILBOX_GRACE_S: Final = 5.0
OPEN_FILES: Final = 64_000

EXIT_FAILED: Final = 1
EXIT_NOT_ALONE: Final = 3

_POLL_S: Final = 0.03

__all__ = [
    "EmbeddedError",
    "KeeperOptions",
    "KeeperStatus",
    "MailboxOptions",
    "MongodOptions",
    "StateFolder",
    "keeper_status",
    "start_keeper",
    "stop_keeper",
]

log = logging.getLogger(__name__)


def start_keeper(state: StateFolder, options: KeeperOptions) -> KeeperStatus:
    """Start the keeper and wait until all that it keeps answers.

    If one runs already, wait for that one and leave its options as they are: its status says
    which ports it uses.

    Raises:
        EmbeddedError: a part cannot run. Nothing is left running then.
    """
    with (state.run / "start.lock").open("w", encoding="ascii") as lock:
        # A second caller waits here for the first, and then finds its keeper.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if keeper_status(state) is None:
            end_leftovers(state)
            check(options)
            _spawn(state, options)
        return _wait_until_ready(state, options.start_within_s + 5.0)


def keeper_status(state: StateFolder) -> KeeperStatus | None:
    """What the running keeper says, or None if there is none."""
    pid = processes.read_pid(state.pid_file("keeper"))
    if processes.our_process(pid, state.instance) is None:
        return None
    status = KeeperStatus.read(state)
    return status if status and status.pid == pid else KeeperStatus(pid=pid or 0)


def stop_keeper(state: StateFolder) -> bool:
    """End the keeper and what it keeps: the mailbox, then mongod, cleanly.

    Returns:
        Whether one ran.
    """
    pid_file = state.pid_file("keeper")
    pid = processes.read_pid(pid_file)
    keeper = processes.our_process(pid, state.instance)
    if keeper is not None:
        processes.end([keeper], MONGOD_GRACE_S + MAILBOX_GRACE_S + 5.0)
    end_leftovers(state)
    if pid is not None:
        processes.reap(pid)
    pid_file.unlink(missing_ok=True)
    return keeper is not None


def check(options: KeeperOptions) -> None:
    """See that what the options ask for can run here, before anything is started.

    Raises:
        EmbeddedError: the first reason why it cannot.
    """
    if options.mongod is not None:
        binary = mongod.find_binary()
        if options.production:
            mongod.require_safe_for_production(binary)
        processes.require_free_port(
            options.mongod.port, what="the embedded MongoDB", variable=mongod.PORT_VARIABLE
        )
    if options.mailbox is not None:
        if options.mongod is None and options.mailbox.mongo_uri is None:
            raise EmbeddedError("The mailbox needs a MongoDB: set CDP_MONGO_URI.")
        for port, variable in (
            (options.mailbox.smtp_port, SMTP_PORT_VARIABLE),
            (options.mailbox.http_port, HTTP_PORT_VARIABLE),
        ):
            processes.require_free_port(port, what="the mailbox", variable=variable)


def end_leftovers(state: StateFolder) -> None:
    """End a mailbox and a mongod whose keeper was killed. No keeper may run."""
    mailboxes, mongods = [], []
    for process in processes.processes_of(state.instance):
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if MAILBOX_MODULE in words:
                mailboxes.append(process)
            elif str(state.mongo_data) in words:
                mongods.append(process)
    processes.end(mailboxes, MAILBOX_GRACE_S)
    processes.end(mongods, MONGOD_GRACE_S)


def _spawn(state: StateFolder, options: KeeperOptions) -> None:
    environment = {**os.environ, **state.environment()}
    if options.mailbox is not None and options.mailbox.mongo_uri is not None:
        environment[MAILBOX_URI_VARIABLE] = options.mailbox.mongo_uri
    # An earlier keeper's; what is found from here on, the new one wrote.
    (state.run / STATUS_FILE).unlink(missing_ok=True)
    with state.log_file("keeper").open("ab") as output:
        pid = os.posix_spawn(
            sys.executable,
            [
                *(sys.executable, "-m", MODULE),
                *("--state", str(state.root), "--options", options.to_json()),
            ],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
            ],
            # A session of its own: a Ctrl-C in the terminal is not for it.
            setsid=True,
        )
    write_atomically(state.pid_file("keeper"), f"{pid}\n")


def _wait_until_ready(state: StateFolder, within_s: float) -> KeeperStatus:
    give_up_at = time.monotonic() + within_s
    while time.monotonic() < give_up_at:
        alive = keeper_status(state)
        if alive is not None and alive.ready:
            return alive
        if alive is None:
            last = KeeperStatus.read(state)
            reason = last.error if last else ""
            stop_keeper(state)
            raise EmbeddedError(
                reason or f"The keeper ended at once: see {state.log_file('keeper')}."
            )
        time.sleep(_POLL_S)
    stop_keeper(state)
    raise EmbeddedError(
        f"The embedded parts were not ready within {within_s:g} s: see {state.logs}."
    )


class Keeper:
    """The process's own side: owns the parts and says how they are."""

    def __init__(self, state: StateFolder, options: KeeperOptions) -> None:
        self._state = state
        self._options = options
        self._ready = False
        self._error = ""
        self._mongod: Part | None = None
        self._mailbox: Part | None = None

    async def run(self) -> int:
        """Keep the parts alive until SIGTERM.

        Returns:
            The exit code.
        """
        work = asyncio.create_task(self._work())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # Again and again harmless: a second signal must not cut the clean end short.
            loop.add_signal_handler(number, work.cancel)
        self._tell()
        await asyncio.wait([work])
        await self._end()
        if work.cancelled():
            return 0
        # Whatever else ended the work is a bug, and its traceback belongs into the log.
        work.result()
        return EXIT_FAILED

    async def _work(self) -> None:
        try:
            if self._options.mongod is not None:
                await self._start_mongod(self._options.mongod)
            if self._options.mailbox is not None:
                await self._start_mailbox(self._options.mailbox)
        except EmbeddedError as error:
            self._error = str(error)
            return
        self._ready = True
        self._tell()
        parts = [part for part in (self._mongod, self._mailbox) if part is not None]
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part.keep_alive())

    async def _start_mongod(self, options: MongodOptions) -> None:
        command = mongod.command(mongod.find_binary(), self._state, options)
        self._mongod = self._part("mongod", command, {}, MONGOD_GRACE_S)
        mongod.prepare_data(self._state)
        await self._mongod.start()
        await mongod.bring_up(
            self._state,
            options.port,
            exit_code=self._mongod.exit_code,
            within_s=self._options.start_within_s,
        )

    async def _start_mailbox(self, options: MailboxOptions) -> None:
        uri = owner_uri = options.mongo_uri
        if uri is None or owner_uri is None:
            assert self._options.mongod is not None
            uri = self._state.mongo_uri("mailbox", self._options.mongod.port)
            owner_uri = self._state.mongo_uri("migrate", self._options.mongod.port)
        try:
            await prepare_mailbox(owner_uri)
        except BootstrapError as error:
            raise EmbeddedError(f"The mailbox's collection could not be set up: {error}") from error
        command = [
            *(sys.executable, "-m", MAILBOX_MODULE),
            *("--smtp-port", str(options.smtp_port), "--http-port", str(options.http_port)),
        ]
        self._mailbox = self._part("mailbox", command, {MAILBOX_URI_VARIABLE: uri}, MAILBOX_GRACE_S)
        await self._mailbox.start()
        give_up_at = time.monotonic() + self._options.start_within_s
        while not (
            await processes.answers(options.smtp_port, greeting=b"220")
            and await processes.answers(options.http_port)
        ):
            if self._mailbox.exit_code() is not None or time.monotonic() >= give_up_at:
                raise EmbeddedError(
                    f"The mailbox did not start: see {self._state.log_file('mailbox')}."
                )
            await asyncio.sleep(_POLL_S)

    def _part(
        self, name: str, command: list[str], environment: dict[str, str], end_grace_s: float
    ) -> Part:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("CDP_")}
        return Part(
            name=name,
            command=command,
            environment={**inherited, **self._state.environment(), **environment},
            log_file=self._state.log_file(name),
            pid_file=self._state.pid_file(name),
            end_grace_s=end_grace_s,
            changed=self._tell,
        )

    async def _end(self) -> None:
        """The mailbox first: it still writes what it has taken."""
        self._ready = False
        for part in (self._mailbox, self._mongod):
            if part is not None:
                await part.end()
        self._tell()

    def _tell(self) -> None:
        mongod_options, mailbox_options = self._options.mongod, self._options.mailbox
        KeeperStatus(
            pid=os.getpid(),
            ready=self._ready,
            error=self._error,
            mongo_port=mongod_options.port if mongod_options else None,
            mailbox_smtp_port=mailbox_options.smtp_port if mailbox_options else None,
            mailbox_http_port=mailbox_options.http_port if mailbox_options else None,
            mongod=self._mongod.status() if self._mongod else None,
            mailbox=self._mailbox.status() if self._mailbox else None,
        ).write(self._state)


@contextlib.contextmanager
def _alone(state: StateFolder) -> Iterator[bool]:
    """Hold the folder's lock, which the system lets go when this process ends, however it does."""
    with (state.run / "keeper.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _raise_open_files_limit() -> None:
    """A connection costs mongod two files, and a usual soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> int:
    """Be the keeper."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the state folder")
    parser.add_argument("--options", default=KeeperOptions().to_json(), help="KeeperOptions, JSON")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    state = StateFolder.open(arguments.state)
    options = KeeperOptions.from_json(
        arguments.options, mailbox_uri=os.environ.get(MAILBOX_URI_VARIABLE)
    )
    with _alone(state) as alone:
        if not alone:
            log.error("another keeper runs in this state folder")
            return EXIT_NOT_ALONE
        _raise_open_files_limit()
        take_long_turns()
        # It stays when the keeper ends: until the process is gone, it is not over.
        write_atomically(state.pid_file("keeper"), f"{os.getpid()}\n")
        return asyncio.run(Keeper(state, options).run())


if __name__ == "__main__":
    sys.exit(main())
