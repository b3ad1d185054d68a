"""Scheduler: the actor that knows what is due in the next minute and tells the shards on time.

It writes nothing; when it is away, the shards' polls find the same items a little later.
"""

from typing import Any, Final

from cdp.domain.delivery_result import WorkItem
from deployments.component import Component
from deployments.handles import ShardHints

TICK_S: Final = 0.05
LOOK_S: Final = 5.0


class Scheduler:
    """Looks ahead and tells."""

    def __init__(self, name: str) -> None:
        self._component = Component("scheduler", name)
        wiring = self._component.wiring
        self._scheduling = wiring.scheduling_service()
        self._hints = ShardHints(wiring.partition_owners())
        self._component.loop("look-ahead", self._look_ahead)
        self._component.loop("tick", self._tick)
        self._component.heartbeat(self._facts)

    async def note(self, items: list[WorkItem]) -> None:
        """A hint from a shard: these have just been scheduled."""
        self._scheduling.note(items)

    async def _look_ahead(self) -> float:
        await self._scheduling.look_ahead()
        return LOOK_S

    async def _tick(self) -> float:
        due = self._scheduling.take_due()
        if due:
            self._hints.tell(due)
        return TICK_S

    def _facts(self) -> dict[str, Any]:
        window = self._scheduling.waiting()
        self._component.wiring.telemetry.set("cdp_scheduled_soon", window)
        return {"window": window}

    async def ping(self) -> str:
        """A sign of life."""
        return self._component.wiring.incarnation
