"""What all components share: loops that survive errors, and a heartbeat to the Supervisor."""

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cdp.log_lines import log_to_stderr
from cdp.long_turns import take_long_turns
from cdp.settings import load_settings
from cdp.wiring import Wiring
from deployments.handles import SUPERVISOR, tell

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 1.0
ERROR_PAUSE_S: Final = 1.0
GARBAGE_THRESHOLD: Final = 100_000
"""New objects between two looks for cycles. More than a batch has: a look walks over all of it, and
when it is done with nothing of it is left. Python's own 700 would look many times."""


def leave_loaded_alone() -> None:
    """Keep the garbage collector from walking over what is loaded and stays.

    Ray, pydantic and the driver are hundreds of thousands of objects, and each full collection
    walks over all of them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)


class Component:
    """One process of the platform."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        log_to_stderr(name)
        take_long_turns()
        self.wiring = Wiring(load_settings(), component=kind)
        self._loops: set[asyncio.Task[None]] = set()
        leave_loaded_alone()

    def loop(self, name: str, step: Callable[[], Awaitable[float]]) -> None:
        """Run `step` for ever; it returns the seconds to wait until its next run."""
        task = asyncio.create_task(self._forever(name, step), name=name)
        self._loops.add(task)
        task.add_done_callback(self._loops.discard)

    async def _forever(self, name: str, step: Callable[[], Awaitable[float]]) -> None:
        while True:
            try:
                pause_s = await step()
            except Exception:
                # The top of a loop: whatever it was, the next round starts from MongoDB.
                log.exception("loop failed", extra={"loop": name, "component": self.name})
                self.wiring.telemetry.count("cdp_loop_errors", loop=name)
                pause_s = ERROR_PAUSE_S
            await asyncio.sleep(pause_s)

    def heartbeat(self, facts: Callable[[], dict[str, Any]]) -> None:
        """Tell the Supervisor each second how it goes, with the metrics."""

        async def beat() -> float:
            report = {
                "name": self.name,
                "kind": self.kind,
                "incarnation": self.wiring.incarnation,
                "pid": os.getpid(),
                "samples": self.wiring.telemetry.snapshot(),
                **facts(),
            }
            tell(SUPERVISOR, "heartbeat", report)
            return HEARTBEAT_S

        self.loop("heartbeat", beat)

    async def stop_loops(self) -> None:
        """End all loops."""
        for task in list(self._loops):
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
