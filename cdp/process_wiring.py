"""What every process has, whatever it does: its settings and name, a clock, MongoDB."""

import os
import secrets
from functools import cached_property

from pydantic import SecretStr

from cdp.embedded.state import StateFolder
from cdp.ports.clock import Clock, SystemClock
from cdp.settings import Settings
from cdp.storage.database import Database
from cdp.telemetry import Telemetry


class ProcessWiring:
    """The ground that `Wiring` plugs services into."""

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
