"""One process that is kept alive: started, watched, started again when it dies, and ended."""

import asyncio
import contextlib
import logging
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cdp.embedded.keeper_status import PartStatus
from cdp.embedded.state import write_atomically

log = logging.getLogger(__name__)

BACKOFF_MIN_S: Final = 0.2
BACKOFF_MAX_S: Final = 5.0
HEALTHY_AFTER_S: Final = 10.0
"""A process that lived this long starts again at the shortest wait."""
LOG_BYTES_MAX: Final = 32 * 1024 * 1024
"""A log larger than this is set aside when its process starts; one such is kept."""


class Part:
    """A process of the keeper's. `changed` is called whenever its status is another."""

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        pid_file: Path,
        end_grace_s: float,
        changed: Callable[[], None],
    ) -> None:
        self._name = name
        self._command = command
        self._environment = environment
        self._log_file = log_file
        self._pid_file = pid_file
        self._end_grace_s = end_grace_s
        self._changed = changed
        self._process: Process | None = None
        self._restarts = 0

    def status(self) -> PartStatus:
        """Its pid and how often it was started again."""
        running = self._process is not None and self._process.returncode is None
        pid = self._process.pid if running and self._process else None
        return PartStatus(pid=pid, restarts=self._restarts)

    def exit_code(self) -> int | None:
        """The code that the process ended with; None while it runs."""
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start the process once."""
        _set_aside(self._log_file)
        with self._log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=dict(self._environment),
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
            )
        write_atomically(self._pid_file, f"{self._process.pid}\n")
        self._changed()

    async def keep_alive(self) -> None:
        """Start the process again whenever it ends, until cancelled."""
        wait_s = BACKOFF_MIN_S
        while True:
            started_at = time.monotonic()
            if self._process is not None:
                code = await self._process.wait()
                self._changed()
                log.warning("%s ended with code %s", self._name, code)
            if time.monotonic() - started_at >= HEALTHY_AFTER_S:
                wait_s = BACKOFF_MIN_S
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, BACKOFF_MAX_S)
            self._restarts += 1
            try:
                await self.start()
            except OSError as error:
                # Such as a full process table: the next round tries again.
                self._process = None
                log.warning("%s did not start: %s", self._name, error)

    async def end(self) -> None:
        """SIGTERM, wait for the grace, SIGKILL."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(self._end_grace_s):
                    await process.wait()
            except TimeoutError:
                log.warning("%s had to be killed", self._name)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._pid_file.unlink(missing_ok=True)
        self._changed()


def _set_aside(log_file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log_file.stat().st_size > LOG_BYTES_MAX:
            log_file.replace(log_file.with_suffix(".log.1"))
