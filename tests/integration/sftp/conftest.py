"""A gateway for each test, on the run's MongoDB."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from cdp.storage.database import Database
from cdp.storage.migrations import migrate
from tests.integration.conftest import Embedded
from tests.integration.sftp.rig import Sftp, new_client


@pytest_asyncio.fixture(scope="session")
async def sftp_database(embedded: Embedded) -> AsyncIterator[Database]:
    migrating = Database(embedded.mongo_uri("migrate"), component="migrate")
    await migrate(migrating)
    await migrating.close()
    # As the user that the gateway is, with the rights of that one.
    database = Database(embedded.mongo_uri("platform"), component="sftp-test")
    yield database
    await database.close()


@pytest_asyncio.fixture
async def stopped(sftp_database: Database, tmp_path: Path) -> AsyncIterator[Sftp]:
    """An account, and a gateway that is not started."""
    sftp = Sftp(
        database=sftp_database, root=tmp_path / "spool", client=await new_client(sftp_database)
    )
    await sftp.account()
    yield sftp
    await sftp.stop()


@pytest_asyncio.fixture
async def sftp(stopped: Sftp) -> Sftp:
    """A gateway that runs, and an account."""
    await stopped.start()
    return stopped
