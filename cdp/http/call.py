"""One request on its way through the API, and the services that answer it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import fresh_id
from cdp.domain.inbox import InboxUser
from cdp.errors import FieldError, Invalid
from cdp.http.answer import Answer
from cdp.http.intake_services import Metrics
from cdp.ports.clock import Clock
from cdp.services.access_service import AccessService, Caller
from cdp.services.backlog import Backlog
from cdp.services.batch_intake import BatchIntake
from cdp.services.campaign_service import CampaignService
from cdp.services.client_config_service import ClientConfigService
from cdp.services.communication_intake import GroupCommit
from cdp.services.communication_reading import CommunicationReading
from cdp.services.communication_service import CommunicationService
from cdp.services.dead_letter_service import DeadLetterService
from cdp.services.delivery_config_service import DeliveryConfigService
from cdp.services.delivery_tracking_service import DeliveryTrackingService
from cdp.services.file_outputs import FileOutputs
from cdp.services.file_preview import FilePreviews
from cdp.services.file_service import FileService
from cdp.services.file_upload_service import FileUploadService
from cdp.services.inbox_service import InboxService, InboxTokens
from cdp.services.inbox_streams import InboxStreams
from cdp.services.provider_routing import ProviderRouting
from cdp.services.provider_service import ProviderService
from cdp.services.segment_service import SegmentService
from cdp.services.sender_service import SenderService
from cdp.services.sftp_account_service import SftpAccountService
from cdp.services.suppression_service import SuppressionService
from cdp.services.template_service import TemplateService


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """All that the API asks. Handed in whole; nothing here is looked up."""

    access: AccessService
    config: ClientConfigService
    commit: GroupCommit
    batches: BatchIntake
    communications: CommunicationService
    reading: CommunicationReading
    templates: TemplateService
    segments: SegmentService
    delivery_configs: DeliveryConfigService
    providers: ProviderService
    routing: ProviderRouting
    files: FileService
    file_outputs: FileOutputs
    file_previews: FilePreviews
    file_uploads: FileUploadService
    suppressions: SuppressionService
    inbox: InboxService
    inbox_tokens: InboxTokens
    inbox_streams: InboxStreams
    tracking: DeliveryTrackingService
    dead_letters: DeadLetterService
    campaigns: CampaignService
    campaigns_applied: Callable[[int], Awaitable[bool]]
    """Whether all shards and workers know of the change of a campaign that has this number; it
    takes a second at most to find out."""
    senders: SenderService
    sftp_accounts: SftpAccountService
    backlog: Backlog
    clock: Clock
    random_bytes: Callable[[int], bytes]
    id_key: bytes
    cursor_key: bytes
    hint: Callable[[Sequence[WorkItem]], None]
    """Tell the shards of new work; it must return at once and never raise."""
    metrics: Metrics
    metrics_text: Callable[[], Awaitable[bytes]]
    ready: Callable[[], Awaitable[Mapping[str, Any]]]
    """What works: `{"ready": bool, ...}`."""
    metrics_token: str | None = None
    """Asked from whoever scrapes `/metrics`, as a bearer token; None leaves it open."""
    origins: frozenset[str] = frozenset()
    """Origins of pages that may call the routes for recipients."""
    requests_max: int = 500
    """Requests in flight in this process; beyond, they are refused."""
    batch_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a chunk of a batch is being checked."""

    def new_id(self) -> bytes:
        """A fresh UUIDv7."""
        return fresh_id(self.clock.now(), self.random_bytes)


@dataclass(kw_only=True)
class Call:
    """One request."""

    scope: Scope
    receive: Receive
    services: ApiServices
    headers: Mapping[bytes, bytes]
    signed_in: Caller | None = field(default=None)
    signed_recipient: InboxUser | None = field(default=None)

    @property
    def recipient(self) -> InboxUser:
        """Whose inbox it is about."""
        assert self.signed_recipient is not None, "this route is not for recipients"
        return self.signed_recipient

    @property
    def caller(self) -> Caller:
        """Who asks."""
        assert self.signed_in is not None, "an open route has no caller"
        return self.signed_in

    def path(self, name: str) -> str:
        """A part of the path."""
        value: str = self.scope["path_params"][name]
        return value

    @cached_property
    def query(self) -> dict[str, str]:
        """The query parameters, each given once.

        Raises:
            Invalid: one is given twice, or is not UTF-8.
        """
        try:
            pairs = parse_qsl(
                self.scope.get("query_string", b"").decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=50,
            )
        except ValueError:
            raise Invalid.at("", "query_malformed", "The query is malformed.") from None
        names = [name for name, _ in pairs]
        errors = [
            FieldError(pointer=name[:100], code="repeated", detail="Give this parameter once.")
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        if errors:
            raise Invalid(errors)
        return dict(pairs)


Handler = Callable[[Call], Awaitable[Answer]]
