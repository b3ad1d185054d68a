"""The composition root: the one place that knows what is plugged in where.

Each component builds its parts here, from the settings, for the process that it lives in.
"""

import os
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, Final

from pydantic import SecretStr

from cdp.domain.delivery_config import ALL, DeliveryConfig
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId
from cdp.embedded.state import StateFolder
from cdp.http.call import ApiServices
from cdp.ports.clock import Clock, SystemClock
from cdp.ports.handoff import ContentResolver, Handoff
from cdp.ports.provider import EmailMessage, Provider
from cdp.providers.email.smtp import SmtpProvider
from cdp.providers.email.smtp_connection import SmtpAccount
from cdp.rendering.links import decorate
from cdp.rendering.sandbox import SandboxedRenderer
from cdp.services.access_service import AccessService
from cdp.services.backlog import Backlog, DiskSpace
from cdp.services.batch_intake import BatchIntake
from cdp.services.campaign_parts import CampaignParts
from cdp.services.client_config_service import ClientConfigService
from cdp.services.communication_intake import CommunicationIntake, GroupCommit
from cdp.services.communication_reading import CommunicationReading
from cdp.services.communication_service import CommunicationService
from cdp.services.delivery_config_service import DeliveryConfigService
from cdp.services.delivery_service import DeliveryLimits, DeliveryService
from cdp.services.delivery_tracking_service import DeliveryTrackingService
from cdp.services.message_composition import Composer
from cdp.services.message_service import MessageService, TrackingUrls
from cdp.services.partition_service import PartitionAssigner, PartitionHolder, PartitionOwners
from cdp.services.provider_roster import OneProvider, Providers
from cdp.services.queueing_service import QueueingService
from cdp.services.scheduling_service import SchedulingService
from cdp.services.segment_service import SegmentService
from cdp.services.template_service import TemplateEngine, TemplateService
from cdp.services.verification_service import VerificationService
from cdp.settings import Settings
from cdp.storage.audit import AuditReads
from cdp.storage.batches import Batches
from cdp.storage.clients import ApiKeys, Clients, Senders
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.communication_requests import CommunicationRequests, Recipients
from cdp.storage.communications import Communications
from cdp.storage.database import Database
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.links import Links
from cdp.storage.migrations import migrate
from cdp.storage.partition_leases import PartitionLeases
from cdp.storage.segments import SegmentAssignments, Segments
from cdp.storage.templates import Templates
from cdp.telemetry import Telemetry

TRACKING_PATH: Final = "/t"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys that ids, links and API keys are made with."""

    id_key: bytes
    tracking_key: bytes
    key_pepper: bytes


class Wiring:
    """The parts of one process, each made when it is first asked for."""

    def __init__(self, settings: Settings, *, component: str) -> None:
        self.settings = settings
        self.component = component
        self.incarnation = f"{component}:{os.getpid()}:{secrets.token_hex(6)}"
        """Names this process for ever: no other, and no later one, has the same."""
        self.clock: Clock = SystemClock()
        self.telemetry = Telemetry()

    @cached_property
    def state(self) -> StateFolder:
        """The folder of the embedded parts."""
        return StateFolder.open(self.settings.state_dir)

    def mongo_uri(self, user: str, given: SecretStr | None) -> str:
        """The URI that was given, or the embedded MongoDB's for this user."""
        if given is not None:
            return given.get_secret_value()
        return self.state.mongo_uri(user, self.settings.mongo_port)

    @cached_property
    def database(self) -> Database:
        """MongoDB, as the user that the component may be."""
        settings = self.settings
        if self.component == "delivery-tracking":
            uri = self.mongo_uri("tracking", settings.mongo_tracking_uri)
        elif self.component == "migrate":
            uri = self.mongo_uri("migrate", settings.mongo_migrate_uri)
        else:
            uri = self.mongo_uri("platform", settings.mongo_uri)
        return Database(uri, component=self.component)

    @cached_property
    def keys(self) -> Keys:
        """The keys, from the settings or the state folder."""
        settings = self.settings

        def key(given: SecretStr | None, embedded: Callable[[], bytes]) -> bytes:
            return bytes.fromhex(given.get_secret_value()) if given else embedded()

        return Keys(
            id_key=key(settings.id_key, lambda: self.state.credentials.id_key),
            tracking_key=key(settings.tracking_key, lambda: self.state.credentials.tracking_key),
            key_pepper=key(settings.key_pepper, lambda: self.state.credentials.key_pepper),
        )

    @cached_property
    def results(self) -> DeliveryResults:
        """`delivery_results`."""
        return DeliveryResults(self.database)

    @cached_property
    def logs(self) -> CommunicationLogs:
        """`communication_logs`."""
        return CommunicationLogs(self.database)

    @cached_property
    def communications(self) -> CommunicationService:
        """The Communication Service."""
        return CommunicationService(
            logs=self.logs,
            results=self.results,
            communications=Communications(self.database),
            clock=self.clock,
            writer=self.incarnation,
            telemetry=self.telemetry,
        )

    @cached_property
    def intake(self) -> CommunicationIntake:
        """The Communication Service's front door."""
        return CommunicationIntake(
            requests=CommunicationRequests(self.database),
            recipients=Recipients(self.database),
            logs=self.logs,
            results=self.results,
            clock=self.clock,
            writer=self.incarnation,
            partitions=self.settings.partitions,
            id_key=self.keys.id_key,
        )

    def segment_service(self) -> SegmentService:
        """Segments and the templates that they get."""
        return SegmentService(
            segments=Segments(self.database),
            assignments=SegmentAssignments(self.database),
            templates=Templates(self.database),
            clock=self.clock,
        )

    def delivery_config_service(self) -> DeliveryConfigService:
        """Delivery configurations, made and changed."""
        return DeliveryConfigService(
            configs=DeliveryConfigs(self.database),
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    @cached_property
    def config(self) -> ClientConfigService:
        """The Client Config Service."""
        return ClientConfigService(
            clients=Clients(self.database),
            senders=Senders(self.database),
            templates=Templates(self.database),
            delivery_configs=DeliveryConfigs(self.database),
            assignments=SegmentAssignments(self.database),
            campaigns=self.campaigns.campaigns,
            clock=self.clock,
        )

    @cached_property
    def campaigns(self) -> CampaignParts:
        """Campaigns: what is known of them here, and what is done about them."""
        return CampaignParts(self.database, self.clock)

    def message_service(self) -> MessageService:
        """The Message Service."""
        return MessageService(
            communications=self.communications,
            config=self.config,
            requests=CommunicationRequests(self.database),
            recipients=Recipients(self.database),
            links=Links(self.database),
            renderer=SandboxedRenderer(children=self.settings.render_children),
            urgent_renderer=SandboxedRenderer(children=1),
            decorate=lambda html, track, pixel: decorate(html, track_url=track, pixel_url=pixel),
            tracking=TrackingUrls(base=self.tracking_base, key=self.keys.tracking_key),
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    @property
    def tracking_base(self) -> str:
        """The base of tracked URLs."""
        own = f"http://{self.settings.http_host}:{self.settings.http_port}"
        return (self.settings.public_url or own).rstrip("/") + TRACKING_PATH

    def access_service(self) -> AccessService:
        """Clients and API keys."""
        return AccessService(
            clients=Clients(self.database),
            keys=ApiKeys(self.database),
            senders=Senders(self.database),
            pepper=self.keys.key_pepper,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    async def set_retry_policy(self, client_id: ClientId | None, **fields: Any) -> None:
        """Set a client's delivery configuration, or the platform's; see `DeliveryConfig`."""
        await self.delivery_config_service().set(client_id, ALL, DeliveryConfig(**fields))

    def backlog(self) -> Backlog:
        """The limits on unfinished work; with the embedded MongoDB, on its disk as well."""
        embedded = self.settings.mongo_uri is None
        return Backlog(
            client_max=self.settings.backlog_client_max,
            platform_max=self.settings.backlog_max,
            free_disk=self._free_disk if embedded else None,
            clock=self.clock,
        )

    def _free_disk(self) -> DiskSpace:
        usage = shutil.disk_usage(self.state.root)
        return DiskSpace(free_bytes=usage.free, total_bytes=usage.total)

    def api_services(
        self,
        *,
        engine: TemplateEngine,
        backlog: Backlog,
        hint: Callable[[Sequence[WorkItem]], None],
        metrics_text: Callable[[], Awaitable[bytes]],
        ready: Callable[[], Awaitable[Mapping[str, Any]]],
        campaigns_applied: Callable[[int], Awaitable[bool]],
    ) -> ApiServices:
        """All that the Client API Service asks."""
        return ApiServices(
            access=self.access_service(),
            config=self.config,
            commit=GroupCommit(self.intake.accept),
            batches=BatchIntake(
                batches=Batches(self.database),
                intake=self.intake,
                clock=self.clock,
                random_bytes=secrets.token_bytes,
            ),
            communications=self.communications,
            reading=CommunicationReading(
                requests=CommunicationRequests(self.database),
                recipients=Recipients(self.database),
                results=self.results,
                batches=Batches(self.database),
                id_key=self.keys.id_key,
            ),
            templates=TemplateService(
                templates=Templates(self.database),
                assignments=SegmentAssignments(self.database),
                engine=engine,
                clock=self.clock,
                random_bytes=secrets.token_bytes,
            ),
            delivery_configs=self.delivery_config_service(),
            segments=self.segment_service(),
            campaigns=self.campaigns.service,
            campaigns_applied=campaigns_applied,
            backlog=backlog,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
            id_key=self.keys.id_key,
            cursor_key=self.keys.key_pepper,
            hint=hint,
            metrics=self.telemetry,
            metrics_text=metrics_text,
            ready=ready,
        )

    def queueing_service(self, *, resolver: ContentResolver, handoff: Handoff) -> QueueingService:
        """The Queueing Service."""
        return QueueingService(
            communications=self.communications,
            config=self.config,
            resolver=resolver,
            handoff=handoff,
            campaigns=self.campaigns.rules,
            clock=self.clock,
            draw=Random(secrets.randbits(64)).random,  # noqa: S311 - jitter is no secret
        )

    def scheduling_service(self) -> SchedulingService:
        """The scheduling half of the Queueing Service."""
        return SchedulingService(results=self.results, clock=self.clock)

    def partition_assigner(self) -> PartitionAssigner:
        """The Supervisor's side of the leases."""
        return PartitionAssigner(
            leases=PartitionLeases(self.database), partitions=self.settings.partitions
        )

    def partition_owners(self) -> PartitionOwners:
        """Which shard to tell of an item."""
        return PartitionOwners(leases=PartitionLeases(self.database), clock=self.clock)

    def partition_holder(self, shard: str) -> PartitionHolder:
        """A shard's side of the leases."""
        return PartitionHolder(
            leases=PartitionLeases(self.database),
            shard=shard,
            incarnation=self.incarnation,
            ttl_s=self.settings.shard_lease_s,
            clock=self.clock,
        )

    def delivery_service(self, *, worker: str, channel: str) -> DeliveryService:
        """The Delivery Service of a channel."""
        return DeliveryService(
            communications=self.communications,
            contents=Communications(self.database),
            providers=self.providers(channel),
            limits=DeliveryLimits(lease_s=self.settings.attempt_lease_s),
            compose=Composer(message_id_domain=self.settings.message_id_domain),
            clock=self.clock,
            worker=worker,
            campaigns=self.campaigns.watch.roster,
        )

    def providers(self, channel: str) -> Providers:
        """The providers of a worker."""
        return OneProvider(self.email_provider(), name="platform")

    def email_provider(self) -> Provider[EmailMessage]:
        """The SMTP server of the settings, or the embedded mailbox."""
        settings = self.settings
        if settings.smtp_host is None:
            account = SmtpAccount(
                host="127.0.0.1",
                port=settings.mailbox_smtp_port,
                security="none",
                connections_max=settings.smtp_connections,
            )
        else:
            password = settings.smtp_password
            account = SmtpAccount(
                host=settings.smtp_host,
                port=settings.smtp_port,
                security=settings.smtp_security,
                username=settings.smtp_username,
                password=password.get_secret_value() if password else None,
                connections_max=settings.smtp_connections,
            )
        return SmtpProvider(account)

    def delivery_tracking_service(self) -> DeliveryTrackingService:
        """The Delivery Tracking Service."""
        return DeliveryTrackingService(
            logs=self.logs,
            results=self.results,
            links=Links(self.database),
            key=self.keys.tracking_key,
            clock=self.clock,
            writer=self.incarnation,
        )

    def verification_service(self) -> VerificationService:
        """The audit."""
        return VerificationService(
            audit=AuditReads(self.database),
            clock=self.clock,
            lease_s=self.settings.attempt_lease_s,
        )

    async def migrate(self) -> list[int]:
        """Bring collections and indexes up to date; the numbers of what was applied."""
        return await migrate(self.database)

    async def close(self) -> None:
        """Close what was opened."""
        await self.database.close()
