"""QueueShard: an actor that owns some partitions of the queue. Request Queues + Queueing Service.

Loops, timers and Ray calls only: what to do is decided in `QueueingService` and `ShardState`.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from cdp.domain.campaign import HELD
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId, Partition
from cdp.domain.lane import LANES, LEVELS, Level, is_urgent, lanes_of
from cdp.domain.pace import Pace, Place
from cdp.domain.shard_state import ShardState
from cdp.errors import OutcomeUnknown
from cdp.services.campaign_watch import LOOK_S
from cdp.services.queueing_service import Decided
from deployments.component import Component
from deployments.handles import SCHEDULER, RayContentResolver, RayHandoff, tell

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
IDLE_POLL_S: Final = 5.0
RESCAN_S: Final = 30.0
WARM_S: Final = 60.0
"""A lane that nothing came to for so long is looked at less often."""
COUNT_S: Final = 60.0
PREPARING_MAX: Final = 2
PARK_S: Final = 2.0
FULL_PARK_S: Final = 0.5
FAULT_PARK_S: Final = 30.0
_ALWAYS: Final = lanes_of("email")
"""Lanes that are shown also before anything came to them."""
_NEVER: Final = float("-inf")
LINGER_S: Final = 0.12
"""Bulk that comes in a stream waits this long for company: a larger batch costs less for each."""


class QueueShard:
    """Pulls, decides and hands over. Killed at any line it loses only time."""

    def __init__(self, name: str) -> None:
        self._component = Component("queue-shard", name)
        wiring = self._component.wiring
        self._clock = wiring.clock
        self._state = ShardState()
        self._holder = wiring.partition_holder(name)
        self._queueing = wiring.queueing_service(
            resolver=RayContentResolver(), handoff=RayHandoff()
        )
        self._results = wiring.results
        self._campaigns = wiring.campaigns.watch
        self._sweep = wiring.campaigns.sweep(wiring.communications)
        self._work = {lane: asyncio.Event() for lane in LANES}
        self._paces = {lane: Pace(batch_max=wiring.settings.batch_max) for lane in LANES}
        self._reported = {lane: asyncio.Event() for lane in LANES}
        self._taken_at = dict.fromkeys(LANES, _NEVER)
        self._short = asyncio.Event()
        self._open: Counter[ClientId] = Counter()
        self._due = 0
        self._final = 0
        self._urgent_at = _NEVER
        self._woken_at = dict.fromkeys(LANES, _NEVER)
        self._next_look = 0.0
        self._next_rescan = 0.0
        self._next_count = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._component.loop("lease", self._renew)
        self._component.loop("poll", self._poll)
        self._component.loop("count", self._count)
        self._component.loop("campaigns", self._see_campaigns)
        self._component.loop("campaign-sweep", self._sweep_campaigns)
        for lane in LANES:
            for _ in range(PREPARING_MAX):
                self._component.loop(f"lane-{lane}", partial(self._serve, lane))
        self._component.heartbeat(self._facts)

    async def enqueue(self, items: list[WorkItem]) -> None:
        """A hint: these are new or due."""
        for item in items:
            if item.seq == 1:
                self._open[item.client_id] += 1
        taken = self._state.hint(items)
        self._component.wiring.telemetry.count("cdp_hints", taken, taken="yes")
        self._component.wiring.telemetry.count("cdp_hints", len(items) - taken, taken="no")
        self._wake(item.lane for item in items)

    def _wake(self, lanes: Iterable[str]) -> None:
        for lane in set(lanes):
            self._work[lane].set()
            self._woken_at[lane] = self._clock.monotonic()
            if is_urgent(lane):
                self._urgent_at = self._clock.monotonic()

    async def _renew(self) -> float:
        try:
            held = await self._holder.renew()
        except OutcomeUnknown:
            held = self._holder.epochs()
        lost = self._state.partitions - held.keys()
        if lost:
            self._component.wiring.telemetry.count("cdp_leases_lost", len(lost))
        if held.keys() - self._state.partitions:
            self._next_count = self._next_rescan = 0.0
        self._state.own(held.keys())
        return self._component.wiring.settings.shard_lease_s / 3

    async def _poll(self) -> float:
        """Pull what is due and not known: the hints that were lost, retries, lapsed leases."""
        now = self._clock.monotonic()
        if now >= self._next_rescan:
            self._next_rescan = now + RESCAN_S
            self._state.rescan()
        self._wake_if(self._state.unpark(self._clock.now()))
        partitions = sorted(self._state.partitions)
        if partitions:
            active = await self._results.active_clients_across_clients(
                self._levels(now), partitions=partitions, until=self._clock.now()
            )
            for level, clients in active:
                self._state.is_active(level, clients)
            await self._pull(partitions)
        urgent = now - self._urgent_at < 60.0
        busy = self._state.held()["known"] > 0
        # A buffer that runs low while MongoDB has more does not wait for the next poll.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._short.wait(), POLL_S if urgent or busy else IDLE_POLL_S)
        self._short.clear()
        return 0.0

    def _levels(self, now: float) -> Sequence[Level]:
        """Where to look: always where there was work lately, and now and then everywhere."""
        if now >= self._next_look:
            self._next_look = now + IDLE_POLL_S
            return LEVELS
        return [level for level in LEVELS if now - self._woken_at[level[0]] < WARM_S]

    async def _pull(self, partitions: Sequence[Partition]) -> None:
        for pull in self._state.pulls():
            until = self._clock.now()
            items = await self._results.due_across_clients(
                partitions=partitions,
                lane=pull.level[0],
                priority=pull.level[1],
                client_id=pull.client_id,
                after=pull.after,
                until=until,
                limit=pull.limit,
            )
            self._wake_if(self._state.pulled(pull, items, until))

    def _wake_if(self, taken: int) -> None:
        if taken:
            self._wake(lane for lane in LANES if self._state.waiting(lane))

    async def _serve(self, lane: str) -> float:
        """Take one batch of a lane, decide on it, and send what is ready on its way."""
        await self._work[lane].wait()
        epochs = self._holder.epochs()
        if not epochs or not self._campaigns.is_loaded:
            return 0.2
        # The place first: while there is none, what waits gathers to a larger batch.
        place = await self._place(lane)
        items: list[WorkItem] = []
        queued: list[WorkItem] = []
        try:
            if not is_urgent(lane) and self._state.waiting(lane) < place.size:
                await self._linger(lane)
            items = self._state.take(lane, place.size)
            if items:
                self._taken_at[lane] = self._clock.monotonic()
                queued = await self._prepare(items, epochs)
            else:
                self._work[lane].clear()
        finally:
            place = self._paces[lane].fill(place, len(queued), taken=len(items))
            self._reported[lane].set()
        if queued:
            task = asyncio.create_task(self._deliver(lane, queued, place))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._state.is_short():
            self._short.set()
        return 0.0

    async def _place(self, lane: str) -> Place:
        while not self._paces[lane].has_room:
            self._reported[lane].clear()
            await self._reported[lane].wait()
        return self._paces[lane].begin()

    async def _linger(self, lane: str) -> None:
        """Wait for company if some came a moment ago; what comes alone goes at once."""
        if self._clock.monotonic() - self._taken_at[lane] < 2 * LINGER_S:
            await asyncio.sleep(LINGER_S)

    async def _prepare(
        self, items: Sequence[WorkItem], epochs: dict[Partition, int]
    ) -> list[WorkItem]:
        """Decide on a batch. One that fails is decided on item by item, so that one is at fault."""
        try:
            queued, decided = await self._queueing.prepare(items, epochs=epochs)
        except OutcomeUnknown:
            self._park(items, PARK_S)
            return []
        except Exception:
            log.exception("a batch could not be decided on", extra={"items": len(items)})
            self._component.wiring.telemetry.count("cdp_loop_errors", loop="prepare")
            if len(items) == 1:
                self._park(items, FAULT_PARK_S)
                return []
            return [q for item in items for q in await self._prepare([item], epochs)]
        self._finish(decided)
        return queued

    async def _deliver(self, lane: str, items: Sequence[WorkItem], place: Place) -> None:
        try:
            decided = await self._queueing.deliver(items)
            self._finish(decided)
            # Refused for want of room is a wait, too.
            self._paces[lane].note(place, behind=decided.behind + len(decided.full))
            if len(decided.parked) == len(items):
                # The provider is in trouble: what is not claimed yet waits where it is.
                await asyncio.sleep(PARK_S)
            elif len(decided.full) == len(items):
                await asyncio.sleep(FULL_PARK_S)
        except BaseException:
            # Not known how far it came; `due_at` brings all of it back.
            self._state.settle(item.result_id for item in items)
            raise
        finally:
            self._paces[lane].end(place)
            self._reported[lane].set()

    def _park(self, items: Sequence[WorkItem], seconds: float) -> None:
        self._state.park(items, self._clock.now() + timedelta(seconds=seconds))

    def _finish(self, decided: Decided) -> None:
        for item in decided.settled:
            if item.reason == HELD:
                # It counts as backlog no longer, until its campaign goes on.
                self._open[item.client_id] -= 1
            elif item.is_final:
                self._final += 1
                self._due = max(0, self._due - 1)
                self._open[item.client_id] -= 1
        self._state.settle(item.result_id for item in decided.settled)
        self._park(decided.parked, PARK_S)
        self._park(decided.full, FULL_PARK_S)
        for item, until in decided.waiting:
            self._state.park([item], until)
        self._state.settle(item.result_id for item in decided.again)
        self._wake_if(self._state.offer(decided.again))
        if decided.scheduled:
            tell(SCHEDULER, "note", decided.scheduled)

    async def _count(self) -> float:
        """Set the counters right from the index; in between they are kept by what happens."""
        partitions = sorted(self._state.partitions)
        now = self._clock.monotonic()
        if partitions and now >= self._next_count:
            self._next_count = now + COUNT_S
            counted = await self._results.unfinished_across_clients(
                partitions, due_by=self._clock.now()
            )
            self._open, self._due = Counter(counted[0]), counted[1]
        return 1.0

    async def _see_campaigns(self) -> float:
        await self._campaigns.refresh()
        return LOOK_S

    async def apply_campaigns(self) -> int:
        """Look for changes of campaigns at once; the number of the last that is applied."""
        return await self._campaigns.refresh()

    async def _sweep_campaigns(self) -> float:
        """Bring back what campaigns held, take back what is left of cancelled ones."""
        if not self._campaigns.is_loaded:
            return LOOK_S
        swept = await self._sweep.step(frozenset(self._holder.epochs()))
        for item in (*swept.due, *swept.later):
            self._open[item.client_id] += 1
        self._due += len(swept.due)
        self._final += len(swept.cancelled)
        for item in swept.cancelled:
            self._open[item.client_id] -= 1
        self._wake_if(self._state.offer(swept.due))
        if swept.later:
            tell(SCHEDULER, "note", swept.later)
        return 0.0 if swept.is_more else LOOK_S

    def _facts(self) -> dict[str, Any]:
        telemetry = self._component.wiring.telemetry
        for kind, count in self._state.held().items():
            telemetry.set("cdp_buffered", count, kind=kind)
        used = [lane for lane in LANES if lane in _ALWAYS or self._woken_at[lane] > _NEVER]
        oldest = {lane: self._age_s(lane) for lane in used}
        for lane, age_s in oldest.items():
            telemetry.set("cdp_oldest_due_seconds", age_s, lane=lane)
        waiting = {lane: self._state.waiting(lane) for lane in used}
        backlog = {client: count for client, count in self._open.items() if count > 0}
        telemetry.set("cdp_backlog", sum(backlog.values()))
        return {
            "backlog": backlog,
            "waiting": waiting,
            "demand": {lane: self._state.demand(lane) for lane in used},
            # What is scheduled for later needs nobody now, however much it is.
            "due": max(self._due, sum(waiting.values())),
            "oldest_s": oldest,
            "partitions": len(self._state.partitions),
            "campaign_epoch": self._campaigns.applied,
            "final": self._final,
        }

    def _age_s(self, lane: str) -> float:
        due_at = self._state.oldest_due(lane)
        return max(0.0, (self._clock.now() - due_at).total_seconds()) if due_at else 0.0

    async def ping(self) -> str:
        """A sign of life."""
        return self._component.wiring.incarnation

    async def drain(self) -> None:
        """End in peace: claim nothing more, wait for what is under way, give the leases back."""
        await self._component.stop_loops()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._holder.give_back()
