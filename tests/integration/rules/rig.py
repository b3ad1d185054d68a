"""The platform's processes without Ray: real services, real MongoDB, a real SMTP server.

A `Wiring` is a process with its own connection, whose component names it to failpoints. Here is
what stands between such processes in place of Ray, and how to break them.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from cdp.domain.breaker import Breaker
from cdp.domain.client import Client
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Event, EventName, Status
from cdp.domain.ids import ClientId, ResultId, text_of
from cdp.domain.template import TemplateVersion
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import Clock, SystemClock
from cdp.ports.handoff import Report, Resolution, WorkerLost
from cdp.ports.provider import EmailMessage, Provider
from cdp.ports.provider import Report as TellOutcome
from cdp.providers.email.mime import build
from cdp.providers.email.smtp import SmtpAccount, SmtpProvider
from cdp.services.communication_intake import Accepted
from cdp.services.delivery_service import DeliveryLimits, DeliveryService
from cdp.services.message_composition import Composer
from cdp.services.message_service import MessageService
from cdp.services.provider_roster import OneProvider
from cdp.services.verification_service import Verification
from cdp.settings import Settings
from cdp.storage.communications import Communications
from cdp.storage.database import Database
from cdp.storage.templates import Templates
from cdp.testing.smtp_server import SmtpServer
from cdp.wiring import Wiring
from tests.integration.conftest import Embedded
from tests.integration.verification_world import ID_KEY, new_id, request_of
from tests.waiting import eventually

FAST_RETRY: Final = {"attempts_max": 8, "backoff_initial_s": 0.05, "backoff_cap_s": 0.2}
SHARD: Final = "shard-0"
SHARD_LEASE_S: Final = 60.0
"""No process that holds a partition is stalled here for so long, unless a test wants it."""


@dataclass(kw_only=True)
class Rig:
    """One MongoDB, and the processes that were started on it."""

    embedded: Embedded
    admin: Database
    processes: list[Wiring] = field(default_factory=list)
    services: list[DeliveryService] = field(default_factory=list)

    def process(self, component: str, *, clock: Clock | None = None, **settings: Any) -> Wiring:
        """Another process, with a connection of its own."""
        wiring = Wiring(Settings(**(self.settings() | settings)), component=component)
        wiring.clock = clock or wiring.clock
        self.processes.append(wiring)
        return wiring

    def settings(self) -> dict[str, Any]:
        """What every process here is started with."""
        return {
            "state_dir": self.embedded.state.root,
            "mongo_uri": SecretStr(self.embedded.mongo_uri("platform")),
            "mongo_tracking_uri": SecretStr(self.embedded.mongo_uri("tracking")),
            "mongo_migrate_uri": SecretStr(self.embedded.mongo_uri("migrate")),
            "id_key": SecretStr(ID_KEY.hex()),
            "tracking_key": SecretStr("11" * 32),
            "key_pepper": SecretStr("22" * 32),
            "secrets_keys": SecretStr(f"test:{'33' * 32}"),
            "private_targets": True,
            "shard_lease_s": SHARD_LEASE_S,
        }

    def worker(
        self,
        wiring: Wiring,
        provider: Provider[EmailMessage],
        *,
        breaker: Breaker | None = None,
        **limits: Any,
    ) -> DeliveryService:
        """A delivery worker in this process, with times that suit a test."""
        service = DeliveryService(
            communications=wiring.communications,
            contents=Communications(wiring.database),
            providers=OneProvider(provider, breaker=breaker),
            limits=DeliveryLimits(**({"lease_s": 5.0, "answer_s": 2.0} | limits)),
            suppressions=wiring.suppression_service(),
            compose=Composer(message_id_domain="mail.example.org"),
            clock=wiring.clock,
            worker=wiring.component,
            campaigns=wiring.campaigns.watch.roster,
        )
        self.services.append(service)
        return service

    async def client(self, wiring: Wiring, **retry: Any) -> Client:
        """A client that can send and whose retries are fast."""
        access = wiring.access_service()
        client = await access.create_client(f"client-{new_id().hex()}")
        await access.set_sender(client.id, email="news@example.org", name="News")
        await wiring.set_retry_policy(client.id, **(FAST_RETRY | retry))
        return client

    async def template(
        self, wiring: Wiring, client_id: ClientId, name: str, **parts: str
    ) -> TemplateVersion:
        """A template's first version, without asking whether it compiles."""
        templates = Templates(wiring.database)
        version = TemplateVersion(
            id=new_id(),
            client_id=client_id,
            name=name,
            version=await templates.next_number(client_id, name),
            contents={"email": {"*": parts}},
            created_at=wiring.clock.now(),
        )
        await templates.insert_version(version)
        return version

    async def close(self) -> None:
        """End all processes in peace."""
        for service in self.services:
            await service.close()
        for wiring in self.processes:
            await wiring.close()

    @asynccontextmanager
    async def failing(
        self,
        commands: Sequence[str],
        *,
        app: str | None = None,
        mode: Any = "alwaysOn",
        **fault: Any,
    ) -> AsyncIterator[None]:
        """These commands of this component go wrong, in this mode and way."""
        data: dict[str, Any] = {"failCommands": list(commands), **fault}
        if app is not None:
            data["appName"] = f"cdp-{app}"
        await self.failpoint("failCommand", mode, data)
        try:
            yield
        finally:
            await self.failpoint("failCommand", "off")

    async def failpoint(self, name: str, mode: Any, data: dict[str, Any] | None = None) -> None:
        """Set one of the server's failpoints."""
        command = {"configureFailPoint": name, "mode": mode}
        await self.admin.raw.client.admin.command(command | ({"data": data} if data else {}))

    async def times_entered(self, name: str = "failCommand") -> int:
        """How often a failpoint has done harm since the server's start."""
        answer = await self.admin.raw.client.admin.command(
            {"getParameter": 1, f"failpoint.{name}": 1}
        )
        [value] = [v for key, v in answer.items() if key.startswith("failpoint.")]
        return int(value["timesEntered"] if "timesEntered" in value else value.get("count", 0))

    async def verify(self, **options: Any) -> Verification:
        """The books."""
        return await self.processes[0].verification_service().verify(**options)


async def accept(wiring: Wiring, requests: Sequence[CommunicationRequest]) -> list[WorkItem]:
    """Take in requests without trouble; their items."""
    outcomes = await wiring.intake.accept(requests)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes
    return [i for o in outcomes if isinstance(o, Accepted) for i in o.items]


async def accept_many(
    wiring: Wiring, client_id: ClientId, count: int, **fields: Any
) -> list[WorkItem]:
    """Take in so many plain requests."""
    return await accept(wiring, [request_of(client_id, **fields) for _ in range(count)])


async def insisting(call: Callable[[], Any], *, tries: int = 60) -> Any:
    """A caller who repeats what is unknown."""
    for _ in range(tries):
        try:
            return await call()
        except OutcomeUnknown:
            continue
    raise AssertionError(f"unknown after {tries} tries")


async def events_of(wiring: Wiring, item: WorkItem) -> list[Event]:
    """The numbered part of an item's log."""
    return (await wiring.logs.numbered_across_clients([item.result_id]))[item.result_id]


async def names_of(wiring: Wiring, item: WorkItem) -> list[EventName]:
    """Its events' names."""
    return [event.name for event in await events_of(wiring, item)]


async def statuses(wiring: Wiring, items: Sequence[WorkItem]) -> Counter[Status]:
    """How many results are where."""
    stored = await wiring.results.items_across_clients([item.result_id for item in items])
    return Counter(item.status for item in stored.values())


async def as_stored(wiring: Wiring, item: WorkItem) -> WorkItem:
    """An item as the queue has it now."""
    return (await wiring.results.items_across_clients([item.result_id]))[item.result_id]


async def recorded(*workers: DeliveryService, within_s: float = 10.0) -> None:
    """Wait until these workers have recorded all that they had claimed; they go on working."""
    await eventually(lambda: not any(worker.in_flight for worker in workers), within_s)


def smtp_provider(
    server: SmtpServer, *, compose: Callable[[EmailMessage], bytes] = build, **changes: Any
) -> SmtpProvider:
    """The real adapter to the scripted server, patient enough for a busy machine."""
    fields: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "security": "none",
        "connections_max": 4,
        "growth_pause_s": 0.0,
    }
    return SmtpProvider(SmtpAccount(**(fields | changes)), compose=compose)


def message_ids(server: SmtpServer) -> Counter[str]:
    """How often the server took each message."""
    return Counter(
        str(message_from_bytes(message.content)["Message-ID"]) for message in server.messages
    )


def write_ledger(path: Path, server: SmtpServer) -> Path:
    """What the server took, as `cdp verify` reads it."""
    lines = [
        {
            "message_id": str(message_from_bytes(message.content)["Message-ID"]),
            "recipient": message.recipients[0],
        }
        for message in server.messages
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def taken(server: SmtpServer, item: WorkItem) -> int:
    """How often the server took this item's message."""
    return message_ids(server)[f"<{text_of(item.result_id)}@mail.example.org>"]


class FastClock:
    """A clock that runs some times as fast, so that ten seconds of patience cost one."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._real = SystemClock()
        self._began_at, self._began = self._real.now(), self._real.monotonic()

    def now(self) -> datetime:
        """See `Clock.now`."""
        moment = self._began_at + timedelta(seconds=self.monotonic() - self._began)
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._began + (self._real.monotonic() - self._began) * self._speed


class Watched:
    """A `Provider` that notes who is under way together, then lets the real one send."""

    def __init__(self, inner: Provider[EmailMessage]) -> None:
        self._inner = inner
        self._under_way: set[ResultId] = set()
        self.together: dict[ResultId, set[ResultId]] = {}
        self.offered: Counter[ResultId] = Counter()

    async def deliver(
        self, messages: Sequence[EmailMessage], report: TellOutcome[EmailMessage]
    ) -> None:
        """See `Provider.deliver`."""
        ids = {ResultId(message.result_id) for message in messages}
        self.offered.update(ids)
        self._under_way |= ids
        for one in self._under_way:
            self.together.setdefault(one, set()).update(self._under_way - {one})
        try:
            await self._inner.deliver(messages, report)
        finally:
            self._under_way -= ids

    async def close(self) -> None:
        """See `Provider.close`."""
        await self._inner.close()


class Direct:
    """`Handoff` and `ContentResolver` to services of this loop.

    As over Ray, whatever a call raises is a lost worker to its caller; what is no lost connection
    is kept in `bugs`.
    """

    def __init__(self, resolver: MessageService, *workers: DeliveryService) -> None:
        self._resolver = resolver
        self._workers = workers
        self._turn = 0
        self.bugs: list[Exception] = []

    async def deliver(self, lane: str, items: Sequence[WorkItem]) -> list[Report]:
        """See `Handoff.deliver`."""
        self._turn += 1
        worker = self._workers[self._turn % len(self._workers)]
        answered: list[Report] = await self._lost_for(worker.deliver(items))
        return answered

    async def resolve(self, items: Sequence[WorkItem]) -> list[Resolution]:
        """See `ContentResolver.resolve`."""
        answered: list[Resolution] = await self._lost_for(self._resolver.resolve(items))
        return answered

    async def _lost_for(self, call: Any) -> Any:
        try:
            return await asyncio.wait_for(call, timeout=12)
        except OutcomeUnknown as error:
            raise WorkerLost from error
        except Exception as error:
            self.bugs.append(error)
            raise WorkerLost from error
