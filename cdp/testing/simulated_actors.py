"""The components of the platform in the simulation: real services in shells without Ray.

Each shell does what its counterpart in `deployments` does, loop for loop; what is not about
messages (metrics, backlog, sizes) is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId, ResultId
from cdp.ports.handoff import Report, Resolution
from cdp.services.communication_intake import Accepted, AcceptOutcome, GroupCommit
from cdp.testing.simulated_platform import Hints, Shell
from cdp.testing.simulated_shard import Shard


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
        service = self.wiring.delivery_service(
            worker=self.process.name, channel="email", budgets=self.wiring.rate_budgets("email")
        )
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


ACTORS: Final[Mapping[str, type[Shell]]] = {
    "api": Api,
    "shard": Shard,
    "scheduler": Scheduler,
    "message": Renderer,
    "worker": Worker,
    "supervisor": Supervisor,
}
