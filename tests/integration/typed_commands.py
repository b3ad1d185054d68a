"""What the tests of typed commands share: a client to name, and the settings of their process."""

import asyncio
import os

from pydantic import SecretStr

from cdp.settings import Settings
from cdp.wiring import Wiring
from tests.integration.conftest import Embedded

KEY_PEPPER = "22" * 32


def settings_of(embedded: Embedded) -> dict[str, str]:
    """The environment that a command is typed in."""
    return {
        **os.environ,
        "CDP_MONGO_URI": embedded.mongo_uri("platform"),
        "CDP_MONGO_MIGRATE_URI": embedded.mongo_uri("migrate"),
        "CDP_MONGO_TRACKING_URI": embedded.mongo_uri("tracking"),
        "CDP_KEY_PEPPER": KEY_PEPPER,
        "COLUMNS": "200",
    }


def make_client(embedded: Embedded, name: str) -> None:
    """A client of this name, on a database that is up to date."""

    async def make() -> None:
        migrate_uri = SecretStr(embedded.mongo_uri("migrate"))
        migrating = Wiring(Settings(mongo_migrate_uri=migrate_uri), component="migrate")
        await migrating.migrate()
        await migrating.close()
        wiring = Wiring(
            Settings(
                mongo_uri=SecretStr(embedded.mongo_uri("platform")),
                key_pepper=SecretStr(KEY_PEPPER),
                id_key=SecretStr("11" * 32),
                tracking_key=SecretStr("33" * 32),
            ),
            component="cli",
        )
        await wiring.access_service().create_client(name)
        await wiring.close()

    asyncio.run(make())
