"""Providers in the API's tests: set up, and never called."""

import os

from cdp.ports.clock import Clock
from cdp.services.client_config_service import ClientConfigService
from cdp.services.provider_roster import Account
from cdp.services.provider_routing import ProviderRouting
from cdp.services.provider_service import ProviderService
from cdp.services.secret_box import SecretBox
from cdp.storage.database import Database
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.providers import ProviderAccounts


def providers_of(database: Database, clock: Clock) -> ProviderService:
    """Accounts with vendors."""
    return ProviderService(
        accounts=ProviderAccounts(database),
        configs=DeliveryConfigs(database),
        box=SecretBox({"test": b"s" * 32}),
        clock=clock,
        random_bytes=os.urandom,
    )


def routing_of(database: Database, clock: Clock, config: ClientConfigService) -> ProviderRouting:
    """Which providers would be tried."""
    defaults = {
        "email": [
            Account(key="settings:email.smtp", version=1, name="email.smtp", kind="email.smtp")
        ]
    }
    return ProviderRouting(
        config=config,
        providers=providers_of(database, clock),
        defaults=defaults,
        clock=clock,
    )
