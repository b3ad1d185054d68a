"""A queue shard in one coroutine: `deployments.queue_shard` without its loops, timers and Ray."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import Partition
from cdp.domain.lane import lanes_of, levels_of
from cdp.domain.shard_state import ShardState
from cdp.errors import OutcomeUnknown
from cdp.services.delivery_service import DeliveryService
from cdp.services.queueing_service import Decided
from cdp.wiring import Wiring
from tests.integration.rules.rig import SHARD, Direct
from tests.waiting import eventually


class LittleShard:
    """Pulls, decides and hands over; it never learns anything but from MongoDB and hints."""

    def __init__(
        self,
        wiring: Wiring,
        *workers: DeliveryService,
        batch: int = 100,
        park_s: float = 0.1,
        handoff: Any = None,
        channels: Sequence[str] = ("email",),
    ) -> None:
        self.wiring = wiring
        self.direct = Direct(wiring.message_service(), *workers)
        self.queueing = wiring.queueing_service(
            resolver=self.direct, handoff=handoff or self.direct
        )
        self.state = ShardState()
        self.bugs: list[Exception] = []
        self.scheduled: list[WorkItem] = []
        self._lanes = [lane for channel in channels for lane in lanes_of(channel)]
        self._levels = [level for channel in channels for level in levels_of(channel)]
        self.campaigns = wiring.campaigns.watch
        self.sweep = wiring.campaigns.sweep(wiring.communications, batch=batch)
        self._holder = wiring.partition_holder(SHARD)
        self._batch = batch
        self._park_s = park_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def own_all(self) -> dict[Partition, int]:
        """Have all partitions assigned to this shard, and take them."""
        await self.wiring.partition_assigner().assign([SHARD])
        await self._holder.renew()
        self.state.own(self._holder.epochs())
        return self._holder.epochs()

    async def step(self) -> None:
        """Pull what is due, and work off what is held, batch for batch."""
        try:
            if not self._holder.epochs():
                await self._holder.renew()
            await self._see_campaigns()
            await self._pull()
        except OutcomeUnknown:
            pass
        except Exception as error:
            self.bugs.append(error)
        for lane in self._lanes:
            while items := self.state.take(lane, self._batch):
                queued = await self._prepare(items)
                if queued:
                    task = asyncio.create_task(self._deliver(queued))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                    await asyncio.wait([task], timeout=0.05)

    async def _see_campaigns(self) -> None:
        await self.campaigns.refresh()
        swept = await self.sweep.step(frozenset(self._holder.epochs()))
        self.state.offer(swept.due)
        self.scheduled += swept.later

    async def _pull(self) -> None:
        self.state.rescan()
        self.state.unpark(self.wiring.clock.now())
        partitions = sorted(self.state.partitions)
        results = self.wiring.results
        active = await results.active_clients_across_clients(
            self._levels, partitions=partitions, until=self.wiring.clock.now()
        )
        for level, clients in active:
            self.state.is_active(level, clients)
        for pull in self.state.pulls():
            until = self.wiring.clock.now()
            items = await results.due_across_clients(
                partitions=partitions,
                lane=pull.level[0],
                priority=pull.level[1],
                client_id=pull.client_id,
                after=pull.after,
                until=until,
                limit=pull.limit,
            )
            self.state.pulled(pull, items, until)

    async def _prepare(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        try:
            queued, decided = await self.queueing.prepare(items, epochs=self._holder.epochs())
        except Exception as error:
            if not isinstance(error, OutcomeUnknown):
                self.bugs.append(error)
            self._park(items)
            return []
        self._finish(decided)
        return queued

    async def _deliver(self, items: Sequence[WorkItem]) -> None:
        try:
            decided = await self.queueing.deliver(items)
        except Exception as error:
            if not isinstance(error, OutcomeUnknown):
                self.bugs.append(error)
            self.state.settle(item.result_id for item in items)
        else:
            self._finish(decided)

    def _park(self, items: Sequence[WorkItem]) -> None:
        until = self.wiring.clock.now() + timedelta(seconds=self._park_s)
        self.state.park(items, until)

    def _finish(self, decided: Decided) -> None:
        self.state.settle(item.result_id for item in decided.settled)
        self._park(decided.parked)
        self._park(decided.full)
        for item, until in decided.waiting:
            self.state.park([item], until)
        self.state.settle(item.result_id for item in decided.again)
        self.state.offer(decided.again)
        self.scheduled += decided.scheduled

    async def settle(self, items: Sequence[WorkItem], *, within_s: float = 20.0) -> None:
        """Go on until all of these have their final state."""
        ids = [item.result_id for item in items]

        async def settled() -> bool:
            await self.step()
            try:
                stored = await self.wiring.results.items_across_clients(ids)
            except OutcomeUnknown:
                return False
            open_items = [item for item in stored.values() if not item.is_final]
            assert not open_items, f"{len(open_items)} open, such as {open_items[0]}"
            return True

        await eventually(settled, within_s=within_s)
        while self._tasks:
            await asyncio.wait(self._tasks)
        assert self.bugs == []
        assert self.direct.bugs == []
