"""The components of the platform in the simulation: real services in shells without Ray.

Each shell does what its counterpart in `deployments` does, loop for loop; what is not about
messages (metrics, backlog, sizes) is left out.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, Final

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_result import LANES, WorkItem
from cdp.domain.ids import ClientId, Partition, ResultId
from cdp.domain.shard_state import LEVELS, ShardLimits, ShardState
from cdp.errors import OutcomeUnknown
from cdp.ports.handoff import Report, Resolution, Verdict
from cdp.ports.provider import Provider
from cdp.services.communication_intake import Accepted, AcceptOutcome, GroupCommit
from cdp.services.communication_service import CommunicationService
from cdp.services.delivery_service import DeliveryService
from cdp.services.queueing_service import Decided, QueueingService
from cdp.telemetry import Telemetry
from cdp.testing.memory_store import MemoryDatabase, MemoryServer
from cdp.testing.simulated_provider import ProviderSide, SimulatedProvider
from cdp.testing.simulated_world import Process, World
from cdp.wiring import Keys, Wiring

PARTITIONS: Final = 8
ATTEMPT_LEASE_S: Final = 12.0
SHARD_LEASE_S: Final = 6.0
BATCH_MAX: Final = 6
LIMITS: Final = ShardLimits(level_max=10, client_max=5, pull_max=4, parked_max=6)
SCHEDULER: Final = "scheduler"
RENDERER: Final = "message-service"
WORKERS: Final = ("worker-0", "worker-1", "worker-2")
APIS: Final = ("api-0", "api-1")
SHARDS_MAX: Final = 3
POLL_S: Final = 1.0
IDLE_POLL_S: Final = 2.0
RESCAN_S: Final = 30.0
PARK_S: Final = 2.0
FAULT_PARK_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What may be replaced by something broken, to see that it is found."""

    communications: Callable[[CommunicationService], CommunicationService] = lambda true: true
    queueing: Callable[[QueueingService], QueueingService] = lambda true: true
    delivery: Callable[[DeliveryService], DeliveryService] = lambda true: true
    state: Callable[[], ShardState] = lambda: ShardState(limits=LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSettings:
    """Those of the settings that the services are made with."""

    partitions: int = PARTITIONS
    shard_lease_s: float = SHARD_LEASE_S
    attempt_lease_s: float = ATTEMPT_LEASE_S
    message_id_domain: str = "cdp.example"
    batch_max: int = BATCH_MAX
    render_children: int = 1
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    public_url: str | None = None


class NoTelemetry(Telemetry):
    """Nobody reads it here."""

    def __init__(self) -> None:
        """Count nothing."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """See `Telemetry.count`."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """See `Telemetry.set`."""

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """See `Telemetry.observe`."""


class SimulatedWiring(Wiring):
    """The platform's own wiring, on the simulation's database, clock and provider."""

    def __init__(self, process: Process, platform: "Platform") -> None:
        self.settings: Any = SimulatedSettings()
        self.component = process.name
        self.incarnation = process.incarnation
        self.clock = process.world.clock
        self.telemetry = NoTelemetry()
        self._process = process
        self._platform = platform

    @cached_property
    def database(self) -> Any:
        """The simulation's."""
        return MemoryDatabase(self._platform.server, self._process)

    @cached_property
    def keys(self) -> Keys:
        """The same for all."""
        return Keys(id_key=b"i" * 32, tracking_key=b"t" * 32, key_pepper=b"p" * 32)

    @cached_property
    def communications(self) -> CommunicationService:
        """The true one, or the broken one."""
        return self._platform.parts.communications(super().communications)

    def email_provider(self) -> Provider:
        """The scripted one."""
        return SimulatedProvider(self._platform.provider, self._process)


@dataclass(slots=True, kw_only=True)
class Platform:
    """What all components of one simulation share."""

    world: World
    server: MemoryServer
    provider: ProviderSide
    parts: Parts
    shards: int = 2

    def start(self, name: str) -> Process:
        """Start a component, or a new incarnation of it."""
        process = Process(self.world, name)
        kind = name.split("-")[0]
        process.actor = ACTORS[kind](SimulatedWiring(process, self), process, self)
        return process

    def names(self) -> list[str]:
        """All components."""
        shards = [f"shard-{index}" for index in range(SHARDS_MAX)]
        return [*APIS, *shards, SCHEDULER, RENDERER, *WORKERS, "supervisor"]


class Shell:
    """What all components share."""

    def __init__(self, wiring: SimulatedWiring, process: Process, platform: Platform) -> None:
        self.wiring = wiring
        self.process = process
        self.platform = platform
        self.clock = wiring.clock
        self.begin()

    def begin(self) -> None:
        """Make the parts and start the loops."""


class Hints:
    """`deployments.handles.ShardHints`, over the simulation's calls."""

    def __init__(self, shell: Shell) -> None:
        self._owners = shell.wiring.partition_owners()
        self._process = shell.process

    def tell(self, items: Iterable[WorkItem]) -> None:
        """Tell the owning shards."""
        self._process.spawn(self._flush(list(items)))

    async def _flush(self, items: list[WorkItem]) -> None:
        owners = await self._owners.owners()
        await self._process.gate()
        for item in items:
            owner = owners.get(item.partition)
            if owner is not None:
                self._process.tell(owner, "enqueue", [item])


class Api(Shell):
    """`ClientApi`: the front door."""

    def begin(self) -> None:
        """See `Shell.begin`."""
        self._commit = GroupCommit(self.wiring.intake.accept)
        self._hints = Hints(self)

    async def accept(self, request: CommunicationRequest) -> AcceptOutcome:
        """POST."""
        outcome = await self._commit.submit(request)
        if isinstance(outcome, Accepted):
            self._hints.tell(outcome.items)
        return outcome

    async def cancel(self, client: ClientId, ids: Sequence[ResultId]) -> dict[ResultId, WorkItem]:
        """POST /cancel."""
        service = self.wiring.communications
        return await service.cancel(client, ids, metadata={"by": "caller"})

    async def reschedule(
        self, client: ClientId, ids: Sequence[ResultId], change: Mapping[str, Any]
    ) -> dict[ResultId, WorkItem]:
        """PATCH."""
        after = await self.wiring.communications.reschedule(client, ids, change=change)
        self._hints.tell(after.values())
        return after


class Renderer(Shell):
    """`MessageService`, with content that needs no template engine."""

    def begin(self) -> None:
        """See `Shell.begin`."""
        self._service = self.wiring.message_service()

    async def resolve(self, items: Sequence[WorkItem]) -> list[Resolution]:
        """See `MessageService.resolve`."""
        return await self._service.resolve(items)


class Worker(Shell):
    """`DeliveryWorker`."""

    def begin(self) -> None:
        """See `Shell.begin`."""
        service = self.wiring.delivery_service(worker=self.process.name)
        self._service = self.platform.parts.delivery(service)

    async def deliver(self, items: Sequence[WorkItem]) -> list[Report]:
        """See `DeliveryService.deliver`."""
        return await self._service.deliver(items)


class Scheduler(Shell):
    """`Scheduler`, with a slower tick."""

    def begin(self) -> None:
        """See `Shell.begin`."""
        self._scheduling = self.wiring.scheduling_service()
        self._hints = Hints(self)
        self.process.loop("look-ahead", self._look_ahead)
        self.process.loop("tick", self._tick)

    async def note(self, items: Sequence[WorkItem]) -> None:
        """A hint from a shard."""
        self._scheduling.note(items)

    async def _look_ahead(self) -> float:
        await self._scheduling.look_ahead()
        return 5.0

    async def _tick(self) -> float:
        due = self._scheduling.take_due()
        if due:
            self._hints.tell(due)
        return 0.5


class Supervisor(Shell):
    """The part of `Supervisor` that assigns partitions."""

    def begin(self) -> None:
        """See `Shell.begin`."""
        self._assigner = self.wiring.partition_assigner()
        self.process.loop("keep", self._keep)

    async def _keep(self) -> float:
        await self._assigner.assign([f"shard-{index}" for index in range(self.platform.shards)])
        return 2.0


class Handoff:
    """`RayHandoff`, over the simulation's calls."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._under_way: dict[str, int] = dict.fromkeys(WORKERS, 0)

    async def deliver(self, channel: str, lane: str, items: Sequence[WorkItem]) -> list[Report]:
        """See `Handoff.deliver`."""
        world = self._process.world
        if not world.faults.stopped and world.chance(0.01):
            return [Report(item=item, verdict=Verdict.DECLINED) for item in items]
        roster = WORKERS[:1] if lane == LANES[0] else WORKERS
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
            clock=self.clock,
            draw=self.process.world.random.random,
        )
        self._queueing = self.platform.parts.queueing(queueing)
        self._work = {lane: asyncio.Event() for lane in LANES}
        self._delivering = {lane: asyncio.Semaphore(3) for lane in LANES}
        self._short = asyncio.Event()
        self._next_rescan = 0.0
        self.process.loop("lease", self._renew)
        self.process.loop("poll", self._poll)
        for lane in LANES:
            for _ in range(2):
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
        in_flight = BATCH_MAX * len(LANES) * (2 + 2 + 3)
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
            until = self.clock.now()
            for lane, priority in LEVELS:
                clients = await self.wiring.results.active_clients_across_clients(
                    partitions=partitions, lane=lane, priority=priority, until=until
                )
                self.state.is_active((lane, priority), clients)
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
        except OutcomeUnknown:
            self.state.settle(item.result_id for item in items)
        finally:
            self._delivering[lane].release()

    def _park(self, items: Sequence[WorkItem], seconds: float) -> None:
        self.state.park(items, self.clock.now() + timedelta(seconds=seconds))

    def _finish(self, decided: Decided) -> None:
        self.state.settle(item.result_id for item in decided.settled)
        self._park(decided.parked, PARK_S)
        self.state.settle(item.result_id for item in decided.again)
        self._wake_if(self.state.offer(decided.again))
        if decided.scheduled:
            self.process.tell(SCHEDULER, "note", decided.scheduled)


ACTORS: Final[Mapping[str, type[Shell]]] = {
    "api": Api,
    "shard": Shard,
    "scheduler": Scheduler,
    "message": Renderer,
    "worker": Worker,
    "supervisor": Supervisor,
}
