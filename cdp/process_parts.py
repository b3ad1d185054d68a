"""What every process has: its settings, clock, database and keys, and the services that all use."""

import os
import secrets
from collections.abc import Callable
from functools import cached_property
from typing import Final

from pydantic import SecretStr

from cdp.embedded.state import StateFolder
from cdp.keys import Keys
from cdp.ports.clock import Clock, SystemClock
from cdp.ports.object_store import ObjectStore
from cdp.services.campaign_parts import CampaignParts
from cdp.services.client_config_service import ClientConfigService
from cdp.services.communication_service import CommunicationService
from cdp.settings import Settings
from cdp.storage.clients import Clients
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.communications import Communications
from cdp.storage.database import Database
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.delivery_results import DeliveryResults
from cdp.storage.migrations import migrate
from cdp.storage.segments import SegmentAssignments
from cdp.storage.senders import Senders
from cdp.storage.templates import Templates
from cdp.store_wiring import object_store
from cdp.telemetry import Telemetry

TRACKING_PATH: Final = "/t"


class ProcessParts:
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
    def object_store(self) -> ObjectStore:
        """Object storage."""
        return object_store(self.settings, self.clock)

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

    @property
    def tracking_base(self) -> str:
        """The base of tracked URLs."""
        own = f"http://{self.settings.http_host}:{self.settings.http_port}"
        return (self.settings.public_url or own).rstrip("/") + TRACKING_PATH

    async def migrate(self) -> list[int]:
        """Bring collections and indexes up to date; the numbers of what was applied."""
        return await migrate(self.database)

    async def close(self) -> None:
        """Close what was opened."""
        await self.database.close()
        if "object_store" in vars(self):
            await self.object_store.close()
