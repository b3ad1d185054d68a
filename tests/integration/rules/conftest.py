"""A MongoDB of their own for the rules of delivery: each ends with the books of all there is."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from cdp.storage.database import Database
from cdp.storage.migrations import migrate
from cdp.testing.smtp_server import SmtpServer
from tests.integration.conftest import Embedded, running
from tests.integration.rules.rig import Rig


@pytest.fixture(scope="session")
def rules_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The audit reads everything, so nobody else may write there."""
    with running(tmp_path_factory.mktemp("rules")) as parts:
        yield parts


@pytest_asyncio.fixture(scope="session")
async def rules_admin(rules_mongod: Embedded) -> AsyncIterator[Database]:
    admin = Database(rules_mongod.mongo_uri("admin"), component="test-admin")
    await migrate(admin)
    yield admin
    await admin.close()


async def empty(admin: Database) -> None:
    """Leave nothing but the collections and their indexes."""
    names = await admin.raw.list_collection_names()
    ours = [name for name in names if not name.startswith("system.") and name != "migrations"]
    # At once, since each waits for the journal.
    await asyncio.gather(*(admin[name].delete_many({}) for name in ours))


@pytest_asyncio.fixture
async def rig(rules_mongod: Embedded, rules_admin: Database) -> AsyncIterator[Rig]:
    """An empty platform, with its indexes."""
    await empty(rules_admin)
    rig = Rig(embedded=rules_mongod, admin=rules_admin)
    yield rig
    await rig.close()


@pytest_asyncio.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    """A mail server that does what it is told."""
    async with SmtpServer() as server:
        yield server
