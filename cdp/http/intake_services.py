"""What it takes to let requests in, from a call of the API or from the rows of a file."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cdp.domain.delivery_result import WorkItem
from cdp.services.backlog import Backlog
from cdp.services.batch_intake import BatchIntake
from cdp.services.client_config_service import ClientConfigService
from cdp.services.communication_reading import CommunicationReading


class Metrics(Protocol):
    """Where requests are counted; `cdp.telemetry.Telemetry` is one."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Note a duration."""


class IntakeServices(Protocol):
    """The services that admission asks; `ApiServices` has them, and more."""

    @property
    def config(self) -> ClientConfigService:
        """What is set for a client."""

    @property
    def batches(self) -> BatchIntake:
        """Makes requests durable."""

    @property
    def reading(self) -> CommunicationReading:
        """What is there already."""

    @property
    def backlog(self) -> Backlog:
        """Whether there is room."""

    @property
    def metrics(self) -> Metrics:
        """Counts what is accepted."""

    @property
    def hint(self) -> Callable[[Sequence[WorkItem]], None]:
        """Tells the shards."""

    @property
    def id_key(self) -> bytes:
        """For ids that nobody can choose."""

    @property
    def batch_turn(self) -> asyncio.Lock:
        """Held while a chunk is being checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIntakeServices:
    """`IntakeServices` of a process that has no API."""

    config: ClientConfigService
    batches: BatchIntake
    reading: CommunicationReading
    backlog: Backlog
    metrics: Metrics
    hint: Callable[[Sequence[WorkItem]], None]
    id_key: bytes
    batch_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
