"""The queue shard in the simulation: `deployments.queue_shard`, loop for loop, without Ray."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import Partition
from cdp.domain.lane import is_urgent, lanes_of, levels_of
from cdp.errors import OutcomeUnknown
from cdp.ports.handoff import Report, Resolution, Verdict
from cdp.services.queueing_service import Decided, QueueingService
from cdp.testing.simulated_platform import (
    BATCH_MAX,
    RENDERER,
    SCHEDULER,
    SHARD_LEASE_S,
    WORKERS,
    Shell,
)
from cdp.testing.simulated_world import Process

LANES: Final = lanes_of("email")
"""The simulation sends email."""
LEVELS: Final = levels_of("email")

POLL_S: Final = 1.0
IDLE_POLL_S: Final = 2.0
RESCAN_S: Final = 30.0
PARK_S: Final = 2.0
FULL_PARK_S: Final = 0.5
FAULT_PARK_S: Final = 30.0
PREPARING_MAX: Final = 2
LINGER_S: Final = 0.12
DELIVERING_MAX: Final = 3


class Handoff:
    """`RayHandoff`, over the simulation's calls."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._under_way: dict[str, int] = dict.fromkeys(WORKERS, 0)

    async def deliver(self, lane: str, items: Sequence[WorkItem]) -> list[Report]:
        """See `Handoff.deliver`."""
        world = self._process.world
        if not world.faults.stopped and world.chance(0.01):
            return [Report(item=item, verdict=Verdict.DECLINED) for item in items]
        roster = WORKERS[:1] if is_urgent(lane) else WORKERS
        worker = min(roster, key=lambda name: self._under_way[name])
        self._under_way[worker] += len(items)
        try:
            reports: list[Report] = await self._process.ask(worker, "deliver", list(items))
        finally:
            self._under_way[worker] -= len(items)
        return reports


class Resolver:
    """`RayContentResolver`, over the simulation's calls."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def resolve(self, items: Sequence[WorkItem]) -> list[Resolution]:
        """See `ContentResolver.resolve`."""
        resolutions: list[Resolution] = await self._process.ask(RENDERER, "resolve", list(items))
        return resolutions


class Shard(Shell):
    """`QueueShard`, loop for loop."""

    def begin(self) -> None:
        """See `Shell.begin`."""
        self.state = self.platform.parts.state()
        self._holder = self.wiring.partition_holder(self.process.name)
        queueing = QueueingService(
            communications=self.wiring.communications,
            config=self.wiring.config,
            resolver=Resolver(self.process),
            handoff=Handoff(self.process),
            campaigns=self.wiring.campaigns.rules,
            clock=self.clock,
            draw=self.process.world.random.random,
        )
        self._queueing = self.platform.parts.queueing(queueing)
        self._work = {lane: asyncio.Event() for lane in LANES}
        self._delivering = {lane: asyncio.Semaphore(DELIVERING_MAX) for lane in LANES}
        self._short = asyncio.Event()
        self._next_rescan = 0.0
        self.process.loop("lease", self._renew)
        self.process.loop("poll", self._poll)
        for lane in LANES:
            for _ in range(PREPARING_MAX):
                self.process.loop(f"lane-{lane}", partial(self._serve, lane))

    async def enqueue(self, items: list[WorkItem]) -> None:
        """A hint: these are new or due."""
        self._wake_if(self.state.hint(items))

    def _wake_if(self, taken: int) -> None:
        self._check_bounds()
        if taken:
            for lane in LANES:
                if self.state.waiting(lane):
                    self._work[lane].set()

    def _check_bounds(self) -> None:
        held, limits = self.state.held(), self.state.limits
        in_flight = BATCH_MAX * len(LANES) * (2 * PREPARING_MAX + DELIVERING_MAX)
        buffered_max = limits.level_max * len(LEVELS)
        known_max = buffered_max + limits.parked_max + in_flight
        if (
            held["buffered"] > buffered_max
            or held["parked"] > limits.parked_max
            or held["known"] > known_max
        ):
            self.process.world.violated("P5", f"{self.process.incarnation} holds {held}")

    async def _renew(self) -> float:
        try:
            held = await self._holder.renew()
        except OutcomeUnknown:
            held = self._holder.epochs()
        if held.keys() - self.state.partitions:
            self._next_rescan = 0.0
        self.state.own(held.keys())
        return SHARD_LEASE_S / 3

    async def _poll(self) -> float:
        now = self.clock.monotonic()
        if now >= self._next_rescan:
            self._next_rescan = now + RESCAN_S
            self.state.rescan()
        self._wake_if(self.state.unpark(self.clock.now()))
        partitions = sorted(self.state.partitions)
        if partitions:
            active = await self.wiring.results.active_clients_across_clients(
                LEVELS, partitions=partitions, until=self.clock.now()
            )
            for level, clients in active:
                self.state.is_active(level, clients)
            await self._pull(partitions)
        pause_s = POLL_S if self.state.held()["known"] else IDLE_POLL_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._short.wait(), pause_s)
        self._short.clear()
        return 0.0

    async def _pull(self, partitions: Sequence[Partition]) -> None:
        for pull in self.state.pulls():
            until = self.clock.now()
            items = await self.wiring.results.due_across_clients(
                partitions=partitions,
                lane=pull.level[0],
                priority=pull.level[1],
                client_id=pull.client_id,
                after=pull.after,
                until=until,
                limit=pull.limit,
            )
            self._wake_if(self.state.pulled(pull, items, until))

    async def _serve(self, lane: str) -> float:
        await self._work[lane].wait()
        await self.process.gate()
        epochs = self._holder.epochs()
        if not epochs:
            return 0.5
        if not is_urgent(lane) and self.state.waiting(lane) < BATCH_MAX:
            await asyncio.sleep(LINGER_S)
            await self.process.gate()
        items = self.state.take(lane, BATCH_MAX)
        if not items:
            self._work[lane].clear()
            return 0.0
        if self.state.is_short():
            self._short.set()
        queued = await self._prepare(items, epochs)
        if queued:
            await self._delivering[lane].acquire()
            self.process.spawn(self._deliver(lane, queued))
        return 0.0

    async def _prepare(
        self, items: Sequence[WorkItem], epochs: dict[Partition, int]
    ) -> list[WorkItem]:
        try:
            queued, decided = await self._queueing.prepare(items, epochs=epochs)
        except OutcomeUnknown:
            self._park(items, PARK_S)
            return []
        except Exception as error:
            self.process.note_bug(error)
            if len(items) == 1:
                self._park(items, FAULT_PARK_S)
                return []
            return [q for item in items for q in await self._prepare([item], epochs)]
        self._finish(decided)
        return queued

    async def _deliver(self, lane: str, items: Sequence[WorkItem]) -> None:
        try:
            decided = await self._queueing.deliver(items)
            self._finish(decided)
            if len(decided.parked) == len(items):
                await asyncio.sleep(PARK_S)
            elif len(decided.full) == len(items):
                await asyncio.sleep(FULL_PARK_S)
        except OutcomeUnknown:
            self.state.settle(item.result_id for item in items)
        finally:
            self._delivering[lane].release()

    def _park(self, items: Sequence[WorkItem], seconds: float) -> None:
        self.state.park(items, self.clock.now() + timedelta(seconds=seconds))

    def _finish(self, decided: Decided) -> None:
        self.state.settle(item.result_id for item in decided.settled)
        self._park(decided.parked, PARK_S)
        self._park(decided.full, FULL_PARK_S)
        for item, until in decided.waiting:
            self.state.park([item], until)
        self.state.settle(item.result_id for item in decided.again)
        self._wake_if(self.state.offer(decided.again))
        if decided.scheduled:
            self.process.tell(SCHEDULER, "note", decided.scheduled)
