"""The composition root: the one place that knows what is plugged in where.

Each component builds its parts here, from the settings, for the process that it lives in.
"""

import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any

from cdp.configuration_parts import ConfigurationParts
from cdp.domain.delivery_result import WorkItem
from cdp.domain.lane import CHANNEL_NAMES
from cdp.http.call import ApiServices
from cdp.http.file_rows import HttpRowIntake
from cdp.http.intake_services import FileIntakeServices
from cdp.ports.budgets import Budgets
from cdp.ports.handoff import ContentResolver, Handoff
from cdp.provider_wiring import AccountOpener, default_accounts
from cdp.rendering.links import decorate
from cdp.rendering.needs import needs_of
from cdp.rendering.sandbox import SandboxedRenderer
from cdp.services.backlog import Backlog, DiskSpace
from cdp.services.batch_intake import BatchIntake
from cdp.services.communication_intake import CommunicationIntake, GroupCommit
from cdp.services.communication_reading import CommunicationReading
from cdp.services.delivery_service import DeliveryLimits, DeliveryService
from cdp.services.delivery_tracking_service import DeliveryTrackingService
from cdp.services.file_ingestion_service import FileIngestionService
from cdp.services.file_pass import FileTools
from cdp.services.file_preview import FilePreviews
from cdp.services.file_row_source import FileRows
from cdp.services.inbox_service import InboxService, InboxTokens
from cdp.services.inbox_streams import InboxStreams
from cdp.services.message_composition import Composer
from cdp.services.message_service import MessageService, TrackingUrls
from cdp.services.partition_service import PartitionAssigner, PartitionHolder, PartitionOwners
from cdp.services.provider_roster import ProviderRoster, Providers
from cdp.services.provider_routing import ProviderRouting
from cdp.services.queueing_service import QueueingService
from cdp.services.rate_budgets import RateBudgets
from cdp.services.rate_limiter import RateLimiter
from cdp.services.row_doubles import RowDoubles
from cdp.services.scheduling_service import SchedulingService
from cdp.services.template_service import TemplateEngine, TemplateService
from cdp.services.verification_service import VerificationService
from cdp.sftp.gateway import SftpGateway
from cdp.sftp.outputs import FileReaders
from cdp.sftp.spool import Spool
from cdp.storage.audit import AuditReads
from cdp.storage.batches import Batches
from cdp.storage.budgets import SpentBudgets
from cdp.storage.communication_requests import CommunicationRequests, Recipients
from cdp.storage.communications import Communications
from cdp.storage.inbox import InboxEntries
from cdp.storage.links import Links
from cdp.storage.partition_leases import PartitionLeases
from cdp.storage.row_references import RowReferences
from cdp.storage.segments import SegmentAssignments
from cdp.storage.templates import Templates


class Wiring(ConfigurationParts):
    """The parts of one process, each made when it is first asked for."""

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
            decorate=lambda html, track, pixel: decorate(html, track=track, pixel_url=pixel),
            tracking=TrackingUrls(base=self.tracking_base, key=self.keys.tracking_key),
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

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
        entries = InboxEntries(self.database)
        tracking = self.delivery_tracking_service()
        templates = self.template_service(engine)
        return ApiServices(
            access=self.access_service(),
            config=self.config,
            commit=GroupCommit(self.intake.accept),
            batches=self.batch_intake(),
            communications=self.communications,
            reading=self.communication_reading(),
            templates=templates,
            delivery_configs=self.delivery_config_service(),
            providers=self.provider_service(),
            routing=self.provider_routing(CHANNEL_NAMES),
            files=self.file_service(),
            file_outputs=self.file_outputs(),
            file_previews=self.file_previews(templates),
            file_uploads=self.file_upload_service(),
            suppressions=self.suppression_service(),
            dead_letters=self.dead_letter_service(),
            senders=self.sender_service(),
            sftp_accounts=self.sftp_account_service(),
            segments=self.segment_service(),
            inbox=InboxService(entries=entries, tracking=tracking, clock=self.clock),
            inbox_tokens=InboxTokens(key=self.keys.inbox_key, clock=self.clock),
            inbox_streams=InboxStreams(entries=entries, clock=self.clock, telemetry=self.telemetry),
            tracking=tracking,
            origins=frozenset(self.settings.inbox_origins.split()),
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

    def batch_intake(self) -> BatchIntake:
        """Many requests under one id."""
        return BatchIntake(
            batches=Batches(self.database),
            intake=self.intake,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    def communication_reading(self) -> CommunicationReading:
        """What is there."""
        return CommunicationReading(
            requests=CommunicationRequests(self.database),
            recipients=Recipients(self.database),
            results=self.results,
            batches=Batches(self.database),
            id_key=self.keys.id_key,
        )

    def file_ingestion_service(
        self, *, backlog: Backlog, hint: Callable[[Sequence[WorkItem]], None]
    ) -> FileIngestionService:
        """The File Ingestion Service."""
        services = FileIntakeServices(
            config=self.config,
            batches=self.batch_intake(),
            reading=self.communication_reading(),
            backlog=backlog,
            metrics=self.telemetry,
            hint=hint,
            id_key=self.keys.id_key,
        )
        return FileIngestionService(
            tools=FileTools(
                files=self.request_files(),
                source=FileRows(store=self.object_store),
                intake=HttpRowIntake(
                    services, RowDoubles(RowReferences(self.database), clock=self.clock)
                ),
                store=self.object_store,
                clock=self.clock,
                worker=self.incarnation,
            ),
            turns=self.file_turns(),
            batches=Batches(self.database),
            telemetry=self.telemetry,
        )

    def sftp_gateway(self) -> SftpGateway:
        """Files by SFTP."""
        given, outputs, store = self.settings.sftp_host_key, self.file_outputs(), self.object_store
        return SftpGateway(
            accounts=self.sftp_account_service(),
            files=self.file_service(),
            readers=FileReaders(
                source=lambda file: store.read(file.key),
                results=outputs.results,
                rejects=outputs.rejects,
            ),
            spool=Spool(self.state.sftp_spool, clock=self.clock, random_bytes=secrets.token_bytes),
            host_key=self.state.sftp_host_key if given is None else given.get_secret_value(),
            clock=self.clock,
            telemetry=self.telemetry,
        )

    def file_previews(self, templates: TemplateService) -> FilePreviews:
        """Files looked at before they are sent."""
        return FilePreviews(
            store=self.object_store, config=self.config, templates=templates, clock=self.clock
        )

    def template_service(self, engine: TemplateEngine) -> TemplateService:
        """Templates, saved and tried."""
        return TemplateService(
            templates=Templates(self.database),
            assignments=SegmentAssignments(self.database),
            engine=engine,
            needs_of=needs_of,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
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

    def rate_budgets(self, channel: str) -> RateBudgets:
        """The budgets of a channel, for its pool."""
        return RateBudgets(channel=channel, spent=SpentBudgets(self.database), clock=self.clock)

    def delivery_service(
        self, *, worker: str, channel: str, budgets: Budgets | None = None
    ) -> DeliveryService:
        """The Delivery Service of a channel; without `budgets` it shares them with nobody."""
        budgets = self.rate_budgets(channel) if budgets is None else budgets
        roster = self.campaigns.watch.roster
        return DeliveryService(
            communications=self.communications,
            contents=Communications(self.database),
            providers=self.providers(channel),
            suppressions=self.suppression_service(),
            limits=DeliveryLimits(lease_s=self.settings.attempt_lease_s),
            compose=Composer(message_id_domain=self.settings.message_id_domain),
            clock=self.clock,
            worker=worker,
            campaigns=roster,
            rates=RateLimiter(config=self.config, campaigns=roster, budgets=budgets),
        )

    def providers(self, channel: str) -> Providers:
        """The providers of a worker."""
        opener = AccountOpener(
            settings=self.settings, clock=self.clock, inbox=InboxEntries(self.database)
        )
        routing = self.provider_routing([channel])
        return ProviderRoster(routing=routing, open_account=opener, clock=self.clock)

    def provider_routing(self, channels: Sequence[str]) -> ProviderRouting:
        """Which providers may take what."""
        hook_key = self.keys.tracking_key
        return ProviderRouting(
            config=self.config,
            providers=self.provider_service(),
            defaults={
                channel: default_accounts(self.settings, channel, hook_key=hook_key)
                for channel in channels
            },
            clock=self.clock,
        )

    def delivery_tracking_service(self) -> DeliveryTrackingService:
        """The Delivery Tracking Service."""
        return DeliveryTrackingService(
            logs=self.logs,
            results=self.results,
            links=Links(self.database),
            key=self.keys.tracking_key,
            clock=self.clock,
            writer=self.incarnation,
            suppressions=self.suppression_service(),
        )

    def verification_service(self) -> VerificationService:
        """The audit."""
        return VerificationService(
            audit=AuditReads(self.database),
            clock=self.clock,
            lease_s=self.settings.attempt_lease_s,
        )
