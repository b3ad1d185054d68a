"""The API's services on a real MongoDB, built as `cdp.wiring` builds them."""

import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pymongo.monitoring import CommandListener

from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId, ResultId, fresh_id, text_of
from cdp.http.app import ApiServices
from cdp.ports.clock import Clock, SystemClock
from cdp.ports.inbox import InboxEntry
from cdp.ports.object_store import ObjectStore
from cdp.ports.renderer import Rendered, RenderItem, RenderOutcome, RenderRefusal, TemplateSource
from cdp.rendering.needs import needs_of
from cdp.rendering.sandbox import SandboxedRenderer
from cdp.services.access_service import AccessService
from cdp.services.backlog import Backlog, DiskSpace
from cdp.services.batch_intake import BatchIntake
from cdp.services.campaign_parts import CampaignParts
from cdp.services.client_config_service import ClientConfigService
from cdp.services.communication_intake import CommunicationIntake, GroupCommit
from cdp.services.communication_reading import CommunicationReading
from cdp.services.communication_service import CommunicationService
from cdp.services.dead_letter_service import DeadLetterService
from cdp.services.delivery_config_service import DeliveryConfigService
from cdp.services.delivery_tracking_service import DeliveryTrackingService
from cdp.services.inbox_service import InboxService, InboxTokens
from cdp.services.inbox_streams import InboxStreams
from cdp.services.segment_service import SegmentService
from cdp.services.sender_service import SenderService
from cdp.services.suppression_service import SuppressionService
from cdp.services.template_service import TemplateEngine, TemplateService
from cdp.storage.batches import Batches
from cdp.storage.campaigns import Campaigns
from cdp.storage.clients import ApiKeys, Clients
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.communication_requests import CommunicationRequests, Recipients
from cdp.storage.communications import Communications
from cdp.storage.database import Database
from cdp.storage.dead_letters import DeadLetters
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.inbox import InboxEntries
from cdp.storage.links import Links
from cdp.storage.providers import ProviderAccounts
from cdp.storage.segments import SegmentAssignments, Segments
from cdp.storage.senders import Senders
from cdp.storage.suppressions import Suppressions
from cdp.storage.templates import Templates
from cdp.telemetry import Telemetry
from tests.integration.http.file_services import (
    file_outputs_of,
    file_uploads_of,
    files_of,
    folder_of,
    previews_of,
    sftp_accounts_of,
)
from tests.integration.http.provider_services import providers_of, routing_of

ID_KEY = bytes(range(32))
PEPPER = bytes(reversed(range(32)))
CURSOR_KEY = b"cursor" * 5


class Engine:
    """The Message Service's answers from the real renderer, without the way over Ray."""

    def __init__(self) -> None:
        self._renderer = SandboxedRenderer(children=1)

    async def check(self, parts: Mapping[str, str], key: str) -> RenderRefusal | None:
        return await self._renderer.check(TemplateSource(key=key, parts=parts))

    async def preview(
        self, parts: Mapping[str, str], key: str, context: Mapping[str, Any]
    ) -> RenderOutcome:
        item = RenderItem(source=TemplateSource(key=key, parts=parts), context=context)
        [outcome] = await self._renderer.render([item])
        assert isinstance(outcome, Rendered | RenderRefusal)
        return outcome

    async def close(self) -> None:
        await self._renderer.close()


@dataclass(kw_only=True)
class Api:
    """The services, and what tests need to look behind them."""

    services: ApiServices
    database: Database
    communications: CommunicationService
    engine: Engine
    store: ObjectStore
    hinted: list[WorkItem] = field(default_factory=list)
    disk: DiskSpace = field(
        default_factory=lambda: DiskSpace(free_bytes=10**12, total_bytes=10**12)
    )

    async def put_into_inbox(self, client_id: ClientId, user: str) -> str:
        """An entry in this user's inbox; its id."""
        now = SystemClock().now()
        result_id = ResultId(fresh_id(now, os.urandom))
        await InboxEntries(self.database).put(
            [
                InboxEntry(
                    result_id=result_id,
                    client_id=client_id,
                    user=user,
                    title="Hi",
                    body="Ho",
                    created_at=now,
                )
            ]
        )
        return text_of(result_id)

    async def close(self) -> None:
        await self.engine.close()
        await self.database.close()


async def applied_everywhere(epoch: int) -> bool:
    """Every shard and worker is quick, for there is none."""
    return True


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a test may want smaller than it is, or otherwise."""

    requests_max: int = 500
    client_max: int = 1_000_000
    platform_max: int = 2_000_000
    metrics_token: str | None = None
    campaigns_applied: Callable[[int], Awaitable[bool]] = applied_everywhere


def build_api(
    uri: str,
    *,
    clock: Clock | None = None,
    listeners: Sequence[CommandListener] = (),
    store: ObjectStore | None = None,
    **limits: Any,
) -> Api:
    """All services, in this process."""
    clock = clock or SystemClock()
    database = Database(uri, component="api-test", listeners=listeners)
    writer = f"api-test:{os.getpid()}:{secrets.token_hex(4)}"
    api: Api
    communications = CommunicationService(
        logs=CommunicationLogs(database),
        results=DeliveryResults(database),
        communications=Communications(database),
        clock=clock,
        writer=writer,
        telemetry=Telemetry(),
    )
    intake = CommunicationIntake(
        requests=CommunicationRequests(database),
        recipients=Recipients(database),
        logs=CommunicationLogs(database),
        results=DeliveryResults(database),
        clock=clock,
        writer=writer,
        partitions=64,
        id_key=ID_KEY,
    )
    engine = Engine()
    hinted: list[WorkItem] = []
    store = store or folder_of(clock)
    disk, given = (lambda: api.disk), Limits(**limits)
    services = _services(
        database, clock, intake, communications, engine, hinted, disk, given, store
    )
    api = Api(
        services=services,
        database=database,
        communications=communications,
        engine=engine,
        store=store,
        hinted=hinted,
    )
    return api


def _services(
    database: Database,
    clock: Clock,
    intake: CommunicationIntake,
    communications: CommunicationService,
    engine: Engine,
    hinted: list[WorkItem],
    disk: Callable[[], DiskSpace],
    limits: Limits,
    store: ObjectStore,
) -> ApiServices:
    async def metrics_text() -> bytes:
        return b"# nothing\n"

    async def ready() -> Mapping[str, Any]:
        await database.ping()
        return {"ready": True, "mongodb": True}

    suppressions = _suppressions(database, communications, clock)
    tracking = _tracking(database, clock, suppressions)
    config, templates = _config(database, clock), _templates(database, engine, clock)
    return ApiServices(
        access=_access(database, clock),
        config=config,
        commit=GroupCommit(intake.accept),
        batches=_batches(database, intake, clock),
        communications=communications,
        reading=_reading(database),
        templates=templates,
        segments=_segments(database, clock),
        delivery_configs=_delivery_configs(database, clock),
        senders=_senders(database, clock),
        sftp_accounts=sftp_accounts_of(database, clock),
        dead_letters=_dead_letters(database, communications),
        providers=providers_of(database, clock),
        routing=routing_of(database, clock, config),
        files=files_of(database, clock, store),
        file_previews=previews_of(config, templates, clock, store),
        file_uploads=file_uploads_of(database, clock, store),
        file_outputs=file_outputs_of(database, store, id_key=ID_KEY),
        suppressions=suppressions,
        inbox=InboxService(entries=InboxEntries(database), tracking=tracking, clock=clock),
        inbox_tokens=InboxTokens(key=b"i" * 32, clock=clock),
        inbox_streams=_inbox_streams(database, clock),
        tracking=tracking,
        origins=frozenset({"https://app.example"}),
        campaigns=CampaignParts(database, clock).service,
        campaigns_applied=limits.campaigns_applied,
        backlog=_backlog(limits, disk, clock),
        clock=clock,
        random_bytes=os.urandom,
        id_key=ID_KEY,
        cursor_key=CURSOR_KEY,
        hint=hinted.extend,
        metrics=Telemetry(),
        metrics_text=metrics_text,
        ready=ready,
        requests_max=limits.requests_max,
        metrics_token=limits.metrics_token,
    )


def _templates(database: Database, engine: TemplateEngine, clock: Clock) -> TemplateService:
    return TemplateService(
        templates=Templates(database),
        assignments=SegmentAssignments(database),
        engine=engine,
        needs_of=needs_of,
        clock=clock,
        random_bytes=os.urandom,
    )


def _suppressions(
    database: Database, communications: CommunicationService, clock: Clock
) -> SuppressionService:
    return SuppressionService(
        suppressions=Suppressions(database),
        results=DeliveryResults(database),
        communications=communications,
        clock=clock,
    )


def _dead_letters(database: Database, communications: CommunicationService) -> DeadLetterService:
    return DeadLetterService(
        dead_letters=DeadLetters(database),
        logs=CommunicationLogs(database),
        communications=communications,
    )


def _inbox_streams(database: Database, clock: Clock) -> InboxStreams:
    return InboxStreams(entries=InboxEntries(database), clock=clock, telemetry=Telemetry())


def _batches(database: Database, intake: CommunicationIntake, clock: Clock) -> BatchIntake:
    return BatchIntake(
        batches=Batches(database), intake=intake, clock=clock, random_bytes=os.urandom
    )


def _backlog(limits: Limits, disk: Callable[[], DiskSpace], clock: Clock) -> Backlog:
    return Backlog(
        client_max=limits.client_max,
        platform_max=limits.platform_max,
        free_disk=disk,
        clock=clock,
    )


def _tracking(
    database: Database, clock: Clock, suppressions: SuppressionService
) -> DeliveryTrackingService:
    return DeliveryTrackingService(
        logs=CommunicationLogs(database),
        results=DeliveryResults(database),
        links=Links(database),
        key=b"t" * 32,
        clock=clock,
        writer="test-tracking",
        suppressions=suppressions,
    )


def _access(database: Database, clock: Clock) -> AccessService:
    return AccessService(
        clients=Clients(database),
        keys=ApiKeys(database),
        senders=_senders(database, clock),
        pepper=PEPPER,
        clock=clock,
        random_bytes=os.urandom,
    )


def _delivery_configs(database: Database, clock: Clock) -> DeliveryConfigService:
    return DeliveryConfigService(
        configs=DeliveryConfigs(database),
        senders=Senders(database),
        providers=ProviderAccounts(database),
        clock=clock,
        random_bytes=os.urandom,
    )


def _senders(database: Database, clock: Clock) -> SenderService:
    return SenderService(
        senders=Senders(database),
        configs=DeliveryConfigs(database),
        clock=clock,
        random_bytes=os.urandom,
    )


def _segments(database: Database, clock: Clock) -> SegmentService:
    return SegmentService(
        segments=Segments(database),
        assignments=SegmentAssignments(database),
        templates=Templates(database),
        clock=clock,
    )


def _config(database: Database, clock: Clock) -> ClientConfigService:
    return ClientConfigService(
        clients=Clients(database),
        senders=Senders(database),
        templates=Templates(database),
        delivery_configs=DeliveryConfigs(database),
        assignments=SegmentAssignments(database),
        campaigns=Campaigns(database),
        clock=clock,
    )


def _reading(database: Database) -> CommunicationReading:
    return CommunicationReading(
        requests=CommunicationRequests(database),
        recipients=Recipients(database),
        results=DeliveryResults(database),
        batches=Batches(database),
        id_key=ID_KEY,
    )


class HeldClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self._now = SystemClock().now()
        self._monotonic = 1_000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        self._now += by
        self._monotonic += by.total_seconds()
