"""What the simulation's components are made of: the platform's own wiring, on pretended parts.

Small numbers on purpose: with little room, few partitions and short leases, what is rare in
production happens in every run.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from cdp.domain.delivery_result import WorkItem
from cdp.domain.shard_state import ShardLimits, ShardState
from cdp.keys import Keys
from cdp.services.communication_service import CommunicationService
from cdp.services.delivery_service import DeliveryService
from cdp.services.provider_roster import OneProvider, Providers
from cdp.services.queueing_service import QueueingService
from cdp.telemetry import Telemetry
from cdp.testing.memory_store import MemoryDatabase, MemoryServer
from cdp.testing.simulated_provider import ProviderSide, SimulatedProvider
from cdp.testing.simulated_world import Process, World
from cdp.wiring import Wiring

PARTITIONS: Final = 8
ATTEMPT_LEASE_S: Final = 12.0
SHARD_LEASE_S: Final = 6.0
BATCH_MAX: Final = 6
LIMITS: Final = ShardLimits(level_max=10, client_max=5, client_low=2, pull_max=4, parked_max=6)
SCHEDULER: Final = "scheduler"
RENDERER: Final = "message-service"
WORKERS: Final = ("worker-0", "worker-1", "worker-2")
APIS: Final = ("api-0", "api-1")
SHARDS_MAX: Final = 3


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

    def providers(self, channel: str) -> Providers:
        """The scripted one."""
        return OneProvider(SimulatedProvider(self._platform.provider, self._process))


@dataclass(slots=True, kw_only=True)
class Platform:
    """What all components of one simulation share."""

    world: World
    server: MemoryServer
    provider: ProviderSide
    parts: Parts
    kinds: Mapping[str, type["Shell"]]
    """The shell of each kind of component, by the first word of its name."""
    shards: int = 2

    def start(self, name: str) -> Process:
        """Start a component, or a new incarnation of it."""
        process = Process(self.world, name)
        kind = name.split("-")[0]
        process.actor = self.kinds[kind](SimulatedWiring(process, self), process, self)
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
