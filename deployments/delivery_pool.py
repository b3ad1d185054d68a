"""DeliveryPool and its DeliveryWorkers: the actors of one channel.

The pool keeps the roster, the number of workers of each lane, and the budgets of what is limited.
It is off the data path: a shard asks it for the roster once a second and hands its batches straight
to a worker, which asks for a budget only where there is a limit.
"""

from collections.abc import Mapping
from typing import Any, Final

import ray

from cdp.domain.delivery_result import WorkItem
from cdp.domain.rate_budget import Grant, Want
from cdp.ports.handoff import Report, WorkerLost
from cdp.services.campaign_watch import LOOK_S
from deployments.component import Component
from deployments.handles import RayBudgets, ask, find, start, worker_name

KEEP_S: Final = 1.0
DRAIN_S: Final = 30.0


class DeliveryWorker:
    """Claims, sends and records. What it held when it died is unknown until its lease ends."""

    def __init__(self, name: str, channel: str) -> None:
        self._component = Component("delivery-worker", name)
        self._service = self._component.wiring.delivery_service(
            worker=name, channel=channel, budgets=RayBudgets(channel)
        )
        self._campaigns = self._component.wiring.campaigns.watch
        self._component.loop("campaigns", self._see_campaigns)
        self._component.heartbeat(self._facts)

    async def deliver(self, items: list[WorkItem]) -> list[Report]:
        """See `DeliveryService.deliver`. Nothing is taken before campaigns are known."""
        await self._campaigns.loaded()
        return await self._service.deliver(items)

    async def _see_campaigns(self) -> float:
        await self._campaigns.refresh()
        return LOOK_S

    async def apply_campaigns(self) -> int:
        """Look for changes of campaigns at once; the number of the last that is applied."""
        return await self._campaigns.refresh()

    def _facts(self) -> dict[str, Any]:
        states = self._service.breakers()
        open_ = sum(state != "closed" for state in states.values())
        self._component.wiring.telemetry.set("cdp_breakers_open", open_)
        return {
            "breakers": dict(states),
            "delivered": self._service.delivered,
            "campaign_epoch": self._campaigns.applied,
        }

    async def ping(self) -> str:
        """A sign of life."""
        return self._component.wiring.incarnation

    async def drain(self) -> None:
        """End in peace: wait until all that is under way has been recorded."""
        await self._service.close()


class DeliveryPool:
    """The roster of a channel's workers, kept at the size that the Supervisor wants."""

    def __init__(self, name: str, channel: str) -> None:
        self._component = Component("delivery-pool", name)
        self._channel = channel
        self._wanted: dict[str, int] = {}
        self._roster: dict[str, list[str]] = {}
        self._budgets = self._component.wiring.rate_budgets(channel)
        self._component.loop("keep", self._keep)
        self._component.heartbeat(self._facts)

    async def roster(self) -> dict[str, list[str]]:
        """The workers of each lane that take work."""
        return self._roster

    async def spend(self, wants: list[Want]) -> list[Grant]:
        """See `Budgets.spend`."""
        grants = await self._budgets.spend(wants)
        waiting = sum(w.count - grant.count for w, grant in zip(wants, grants, strict=True))
        self._component.wiring.telemetry.count("cdp_rate_limited", waiting)
        return grants

    async def resize(self, wanted: Mapping[str, int]) -> None:
        """How many workers each lane is to have; in force at the next round."""
        self._wanted |= wanted

    async def _keep(self) -> float:
        """Start what is missing; let go, in peace, what is too many."""
        for lane, count in self._wanted.items():
            names = [worker_name(lane, index) for index in range(count)]
            for name in names:
                if find(name) is None:
                    start(DeliveryWorker, name, name, self._channel)
            self._roster[lane] = names
            await self._let_go(worker_name(lane, count))
        return KEEP_S

    async def _let_go(self, name: str) -> None:
        worker = find(name)
        if worker is None:
            return
        try:
            await ask(name, "drain", within_s=DRAIN_S)
        except WorkerLost:
            self._component.wiring.telemetry.count("cdp_loop_errors", loop="drain")
        ray.kill(worker)

    def _facts(self) -> dict[str, Any]:
        self._component.wiring.telemetry.set("cdp_budgets", self._budgets.count)
        return {"roster": {lane: len(names) for lane, names in self._roster.items()}}

    async def ping(self) -> str:
        """A sign of life."""
        return self._component.wiring.incarnation
