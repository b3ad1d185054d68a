"""The services of a client's configuration, as a process builds them."""

import secrets
from functools import cached_property
from typing import Any

from cdp.domain.delivery_config import ALL, DeliveryConfig
from cdp.domain.ids import ClientId
from cdp.ports.arrivals import Arrivals
from cdp.process_parts import ProcessParts
from cdp.provider_wiring import reaches_private, secret_box
from cdp.services.access_service import AccessService
from cdp.services.dead_letter_service import DeadLetterService
from cdp.services.delivery_config_service import DeliveryConfigService
from cdp.services.file_arrivals_service import FileArrivalsService
from cdp.services.file_books import FileBooks
from cdp.services.file_outputs import FileOutputs
from cdp.services.file_receiving_service import FileReceivingService
from cdp.services.file_service import FileService
from cdp.services.file_sweep import FileSweep
from cdp.services.file_upload_service import FileUploadService
from cdp.services.provider_service import ProviderService
from cdp.services.segment_service import SegmentService
from cdp.services.sender_service import SenderService
from cdp.services.sftp_account_service import SftpAccountService
from cdp.services.suppression_service import SuppressionService
from cdp.storage.batches import Batches
from cdp.storage.clients import ApiKeys, Clients
from cdp.storage.dead_letters import DeadLetters
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.file_turns import FileTurns
from cdp.storage.providers import ProviderAccounts
from cdp.storage.request_files import RequestFiles
from cdp.storage.segments import SegmentAssignments, Segments
from cdp.storage.senders import Senders
from cdp.storage.sftp_accounts import SftpAccounts
from cdp.storage.suppressions import Suppressions
from cdp.storage.templates import Templates
from cdp.store_wiring import arrivals, settle_time


class ConfigurationParts(ProcessParts):
    """What is set up and changed."""

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
            senders=Senders(self.database),
            providers=ProviderAccounts(self.database),
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    def sender_service(self) -> SenderService:
        """Who clients' communications come from."""
        return SenderService(
            senders=Senders(self.database),
            configs=DeliveryConfigs(self.database),
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    def sftp_accounts(self) -> SftpAccounts:
        """`sftp_accounts`."""
        return SftpAccounts(self.database)

    def sftp_account_service(self) -> SftpAccountService:
        """Who may log in to the SFTP gateway."""
        return SftpAccountService(
            accounts=SftpAccounts(self.database),
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    def access_service(self) -> AccessService:
        """Clients and API keys."""
        return AccessService(
            clients=Clients(self.database),
            keys=ApiKeys(self.database),
            senders=self.sender_service(),
            pepper=self.keys.key_pepper,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    async def set_retry_policy(self, client_id: ClientId | None, **fields: Any) -> None:
        """Set a client's delivery configuration, or the platform's; see `DeliveryConfig`."""
        await self.delivery_config_service().set(client_id, ALL, DeliveryConfig(**fields))

    def provider_service(self) -> ProviderService:
        """Providers, set up and changed."""
        return ProviderService(
            accounts=ProviderAccounts(self.database),
            configs=DeliveryConfigs(self.database),
            box=secret_box(self.settings, lambda: self.state.secrets_key),
            clock=self.clock,
            random_bytes=secrets.token_bytes,
            trusts_clients=reaches_private(self.settings),
        )

    def suppression_service(self) -> SuppressionService:
        """The suppression list."""
        return SuppressionService(
            suppressions=Suppressions(self.database),
            results=self.results,
            communications=self.communications,
            clock=self.clock,
        )

    def request_files(self) -> RequestFiles:
        """`files`."""
        return RequestFiles(self.database)

    def file_turns(self) -> FileTurns:
        """`files`, as those see them who work on them."""
        return FileTurns(self.database)

    def file_books(self) -> FileBooks:
        """The books of files that ended early."""
        return FileBooks(
            files=self.request_files(),
            turns=self.file_turns(),
            batches=Batches(self.database),
            results=self.results,
            worker=self.incarnation,
        )

    def file_sweep(self) -> FileSweep:
        """What is stored of files that never came to be."""
        return FileSweep(
            files=self.request_files(),
            store=self.object_store,
            clock=self.clock,
            telemetry=self.telemetry,
        )

    def file_service(self) -> FileService:
        """Files of requests, kept."""
        return FileService(
            files=self.request_files(),
            store=self.object_store,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    def file_upload_service(self) -> FileUploadService:
        """Places for large files."""
        return FileUploadService(
            files=self.request_files(),
            store=self.object_store,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
        )

    @cached_property
    def arrivals(self) -> Arrivals:
        """What tells of files that others put into object storage."""
        return arrivals(
            self.settings, self.object_store, clock=self.clock, telemetry=self.telemetry
        )

    def file_arrivals_service(self) -> FileArrivalsService:
        """Files that others put into object storage, noted."""
        return FileArrivalsService(
            arrivals=self.arrivals,
            store=self.object_store,
            files=self.request_files(),
            clients=Clients(self.database),
            clock=self.clock,
            random_bytes=secrets.token_bytes,
            telemetry=self.telemetry,
            settle=settle_time(self.settings),
        )

    def file_receiving_service(self) -> FileReceivingService:
        """Files that others put into object storage, taken in."""
        return FileReceivingService(
            files=self.request_files(),
            turns=self.file_turns(),
            store=self.object_store,
            clock=self.clock,
            random_bytes=secrets.token_bytes,
            worker=f"{self.incarnation}:receiving",
        )

    async def close(self) -> None:
        """Close what was opened."""
        if "arrivals" in vars(self):
            await self.arrivals.close()
        await super().close()

    def file_outputs(self) -> FileOutputs:
        """What is made of files for their senders."""
        return FileOutputs(
            store=self.object_store,
            results=self.results,
            id_key=self.keys.id_key,
            telemetry=self.telemetry,
        )

    def dead_letter_service(self) -> DeadLetterService:
        """What was given up, and its replay."""
        return DeadLetterService(
            dead_letters=DeadLetters(self.database),
            logs=self.logs,
            communications=self.communications,
        )
