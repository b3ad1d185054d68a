"""A small database in which every kind of life was lived, made by the platform's own services."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from cdp.domain.client import Client
from cdp.domain.communication import Communication
from cdp.domain.communication_request import CommunicationRequest, Recipient
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import WORKER_LOST, Event, EventName
from cdp.domain.ids import (
    BatchId,
    ClientId,
    Partition,
    RequestId,
    ResultId,
    event_id,
    result_ids,
    text_of,
    unnumbered_event_id,
    uuid7,
)
from cdp.domain.lane import Priority
from cdp.ports.clock import SystemClock
from cdp.services.communication_intake import Accepted, CommunicationIntake
from cdp.services.communication_service import CommunicationService, Move
from cdp.services.verification_service import Verification, VerificationService
from cdp.storage.audit import AuditReads
from cdp.storage.batches import Batch, Batches
from cdp.storage.clients import Clients
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.communication_requests import CommunicationRequests, Recipients
from cdp.storage.communications import Communications
from cdp.storage.database import Database
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.indexes import INDEXES
from cdp.storage.migrations import migrate
from cdp.storage.partition_leases import PartitionLeases
from cdp.telemetry import Telemetry

E = EventName
PARTITIONS = 64
ID_KEY = b"k" * 32
DOMAIN = "mail.example.org"
CLOCK = SystemClock()

SENT: tuple[EventName, ...] = (E.CONTENT_RESOLVED, E.QUEUED, E.DELIVERY_ATTEMPTED)
LIVES: Mapping[str, tuple[EventName, ...]] = {
    "accepted": (),
    "rendered": (E.CONTENT_RESOLVED,),
    "scheduled": (E.SCHEDULED,),
    "queued": SENT[:2],
    "sending": SENT,
    "failed": (*SENT, E.DELIVERY_FAILED),
    "retrying": (*SENT, E.DELIVERY_FAILED, E.SCHEDULED),
    "delivered": (*SENT, E.DELIVERY_SUCCEEDED),
    "retried": (*SENT, E.DELIVERY_FAILED, E.SCHEDULED, *SENT[1:], E.DELIVERY_SUCCEEDED),
    "undeliverable": (*SENT, E.DELIVERY_FAILED, E.UNDELIVERABLE),
    "suppressed": (E.SUPPRESSED,),
    "expired": (*SENT[:2], E.EXPIRED),
    "gave_up": (*SENT, E.DELIVERY_FAILED, E.CANCELLED),
    "replayed": (E.UNDELIVERABLE, E.REPLAYED, *SENT, E.DELIVERY_SUCCEEDED),
}
"""What happens after CREATED, by the name of the life."""
PENDING = ("accepted", "rendered", "scheduled", "queued", "sending", "failed", "retrying")


def new_id() -> bytes:
    """An id of now."""
    return uuid7(unix_ms=int(CLOCK.now().timestamp() * 1000), random_bytes=os.urandom(10))


def request_of(client_id: ClientId, *, recipients: int = 1, **fields: Any) -> CommunicationRequest:
    """A request to so many recipients."""
    request_id = RequestId(new_id())
    ids = result_ids(request_id, recipients, key=ID_KEY)
    return CommunicationRequest(
        id=request_id,
        client_id=client_id,
        channel="email",
        recipients=tuple(
            Recipient(result_id=r, identifier=f"u{r.hex()[-8:]}@example.org") for r in ids
        ),
        content={"subject": "Hello", "text": "Hello"},
        requested_at=CLOCK.now(),
        **fields,
    )


@dataclass(slots=True, kw_only=True)
class World:
    """The services, and what was made with them."""

    database: Database
    admin: Database
    folder: Path
    client_ids: list[ClientId]
    intake: CommunicationIntake
    service: CommunicationService
    logs: CommunicationLogs
    results: dict[str, ResultId] = field(default_factory=dict)
    """By the name of the life; of the first client."""
    told: list[dict[str, Any]] = field(default_factory=list)
    """The callers' ledger."""
    taken: list[dict[str, Any]] = field(default_factory=list)
    """The provider's ledger."""
    _pristine: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _ledgers: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])

    async def accept(self, requests: Sequence[CommunicationRequest]) -> list[WorkItem]:
        """Take in requests; their items."""
        outcomes = await self.intake.accept(requests)
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        self.told += [{"id": text_of(request.id)} for request in requests]
        return [i for o in outcomes if isinstance(o, Accepted) for i in o.items]

    async def live(
        self, items: Sequence[WorkItem], names: Sequence[EventName], *, unknown: bool = False
    ) -> list[WorkItem]:
        """Let these things happen to all of the items; unknown is what failures are."""
        for name in names:
            if name is E.DELIVERY_SUCCEEDED or (name is E.DELIVERY_FAILED and unknown):
                # The provider has it before we know.
                self.taken += [self.entry(item.result_id) for item in items]
            if name is E.CONTENT_RESOLVED:
                contents = [(item, self._content(item)) for item in items]
                after = await self.service.record_content(contents)
            else:
                moves = [
                    Move(item=item, name=name, metadata=self._metadata(name, item, unknown))
                    for item in items
                ]
                after = await self.service.advance(moves)
            items = [item for item in after if item is not None]
        return list(items)

    def _content(self, item: WorkItem) -> Communication:
        address = f"u{item.result_id.hex()[-8:]}@example.org"
        return Communication(
            result_id=item.result_id,
            request_id=item.request_id,
            client_id=item.client_id,
            channel="email",
            sender=("from@example.org", "From"),
            to=(address, ""),
            content={"subject": "Hello", "text": "Hello"},
            resolved_at=CLOCK.now(),
        )

    def _metadata(self, name: EventName, item: WorkItem, unknown: bool) -> dict[str, Any]:
        now = CLOCK.now()
        if name is E.QUEUED:
            return {"queue": "email.default", "epoch": 1, "due_at": now + timedelta(seconds=10)}
        if name is E.DELIVERY_ATTEMPTED:
            return {"attempt": item.attempt + 1, "due_at": now + timedelta(seconds=60)}
        if name is E.SCHEDULED:
            return {"reason": "send_at", "due_at": now + timedelta(hours=1)}
        if name is E.DELIVERY_FAILED and unknown:
            return {"reason": "unknown", "outcome": "unknown", "code": WORKER_LOST}
        if name is E.DELIVERY_FAILED:
            return {"attempt": item.attempt, "reason": "transient", "code": "451"}
        return {}

    def entry(self, result_id: ResultId, recipient: str | None = None) -> dict[str, Any]:
        """A line of the provider's ledger."""
        address = recipient or f"U{result_id.hex()[-8:]}@Example.org"
        return {"message_id": f"<{text_of(result_id)}@{DOMAIN}>", "recipient": address}

    async def engage(self, name: EventName, result_id: ResultId, client_id: ClientId) -> None:
        """Somebody opened or clicked."""
        event = Event(
            id=unnumbered_event_id(result_id, name, ""),
            name=name,
            at=CLOCK.now(),
            client_id=client_id,
            writer="tracking-1",
        )
        await self.logs.append([event])

    async def verify(self, **options: Any) -> Verification:
        """The audit with both ledgers, by the platform's own user."""
        for name, lines in (("callers", self.told), ("provider", self.taken)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (self.folder / name).write_text(text, encoding="utf-8")
        service = VerificationService(audit=AuditReads(self.database), clock=CLOCK, moment_s=0.01)
        ledgers = {
            "callers_ledger": self.folder / "callers",
            "provider_ledger": self.folder / "provider",
        }
        return await service.verify(**(ledgers | options))

    async def close(self) -> None:
        """Close the connections."""
        await self.database.close()
        await self.admin.close()

    async def keep(self) -> None:
        """Remember how all is now."""
        for name in (*INDEXES, "communications", "communication_logs", "recipients"):
            self._pristine[name] = await self.admin[name].find().to_list()
        leases = self.admin["partition_leases"]
        self._pristine["partition_leases"] = await leases.find().to_list()
        self._ledgers = (list(self.told), list(self.taken))

    async def restore(self) -> None:
        """Make all as it was kept."""

        async def restore_one(name: str, documents: list[dict[str, Any]]) -> None:
            await self.admin[name].delete_many({})
            if documents:
                await self.admin[name].insert_many(documents)

        # At once, since each waits for the journal.
        await asyncio.gather(*(restore_one(n, found) for n, found in self._pristine.items()))
        await asyncio.gather(
            *(self.admin[name].create_indexes(indexes) for name, indexes in INDEXES.items())
        )
        self.told, self.taken = map(list, self._ledgers)


async def open_world(platform_uri: str, admin_uri: str, folder: Path) -> World:
    """The services over an empty database with two clients."""
    database = Database(platform_uri, component="test")
    admin = Database(admin_uri, component="test-admin")
    for name in await admin.raw.list_collection_names():
        await admin.raw.drop_collection(name)
    await migrate(admin)
    logs, results = CommunicationLogs(database), DeliveryResults(database)
    clients = [ClientId(new_id()), ClientId(new_id())]
    for client_id, name in zip(clients, ("Acme", "Globex"), strict=True):
        await Clients(database).insert(Client(id=client_id, name=name, created_at=CLOCK.now()))
    leases = PartitionLeases(database)
    await leases.create(PARTITIONS)
    await leases.assign({"shard-0": [Partition(p) for p in range(PARTITIONS)]})
    await leases.take("shard-0", "shard-0.1", ttl_s=60)
    return World(
        database=database,
        admin=admin,
        folder=folder,
        client_ids=clients,
        logs=logs,
        intake=CommunicationIntake(
            requests=CommunicationRequests(database),
            recipients=Recipients(database),
            logs=logs,
            results=results,
            clock=CLOCK,
            writer="api-1",
            partitions=PARTITIONS,
            id_key=ID_KEY,
        ),
        service=CommunicationService(
            logs=logs,
            results=results,
            communications=Communications(database),
            clock=CLOCK,
            writer="shard-0.1",
            telemetry=Telemetry(),
        ),
    )


async def fill(world: World) -> None:
    """Let every life be lived once by each client."""
    for client_id in reversed(world.client_ids):
        for name, steps in LIVES.items():
            [item] = await world.accept([request_of(client_id, campaign="spring")])
            await world.live([item], steps)
            world.results[name] = item.result_id
        await _fill_more(world, client_id)


async def _fill_more(world: World, client_id: ClientId) -> None:
    """What no plain sequence of events is."""
    [doubled] = await world.accept([request_of(client_id)])
    [doubled] = await world.live([doubled], LIVES["failed"], unknown=True)
    await world.live([doubled], (E.QUEUED, E.DELIVERY_ATTEMPTED, E.DELIVERY_SUCCEEDED))
    [cancelled, changed] = await world.accept(
        [request_of(client_id, priority=Priority.LOW), request_of(client_id)]
    )
    await world.service.cancel(client_id, [cancelled.result_id], metadata={"by": "api"})
    later = CLOCK.now() + timedelta(hours=2)
    change = {"send_at": later, "priority": int(Priority.HIGH)}
    await world.service.reschedule(client_id, [changed.result_id], change=change)
    many = await world.accept([request_of(client_id, recipients=3, priority=Priority.HIGH)])
    await world.live(many, LIVES["delivered"])
    keyed = [request_of(client_id, idempotency_key=f"k{n}", body_hash=b"h") for n in range(2)]
    await world.accept(keyed)
    batch = Batch(id=BatchId(new_id()), client_id=client_id, created_at=CLOCK.now())
    batches = Batches(world.database)
    await batches.begin(batch)
    in_batch = [request_of(client_id, batch_id=batch.id, recipients=n) for n in (1, 2)]
    items = await world.accept(in_batch)
    await world.live(items, LIVES["delivered"])
    await batches.finish(batch.id, accepted=2, rejected=0, results=3)
    for name in (E.OPENED, E.CLICKED):
        await world.engage(name, world.results["delivered"], client_id)
    await _crash_before_acceptance(world, client_id)
    world.results |= {
        "doubled": doubled.result_id,
        "cancelled": cancelled.result_id,
        "changed": changed.result_id,
        "many": many[1].result_id,
        "many_request": ResultId(many[1].request_id),
        "keyed": ResultId(keyed[0].id),
        "batch": ResultId(batch.id),
        "in_batch": items[0].result_id,
    }


async def _crash_before_acceptance(world: World, client_id: ClientId) -> None:
    """The intake died before it wrote the result: nobody was told anything."""
    orphan = Event(
        id=event_id(new_id(), 1),
        name=E.CREATED,
        at=CLOCK.now(),
        client_id=client_id,
        writer="api-0",
        metadata={"priority": 1},
    )
    await world.logs.append([orphan])
