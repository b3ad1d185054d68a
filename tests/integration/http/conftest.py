"""The real API over real sockets, on the run's MongoDB."""

import asyncio
import contextlib
import io
import itertools
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import uvicorn
from starlette.types import ASGIApp

from cdp.domain.client import Client
from cdp.http.app import build_app, mounted
from cdp.storage.database import Database
from cdp.storage.migrations import migrate
from tests.integration.conftest import Embedded
from tests.integration.http.services import Api, build_api
from tests.waiting import eventually

JSON = "application/json"
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Got:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def pointers(self) -> dict[str, str]:
        """The code of each error by its pointer."""
        return {error["pointer"]: error["code"] for error in self.json["errors"]}


@dataclass(kw_only=True)
class Tenant:
    """One client of the API with its own key."""

    base: str
    session: aiohttp.ClientSession
    client: Client
    key: str
    extra: dict[str, str] = field(default_factory=dict)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Got:
        """One request; a body that is not bytes goes as JSON."""
        sent = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        data = body
        if body is not None and not isinstance(body, bytes | AsyncIterator):
            data = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", JSON)
        if isinstance(data, bytes):
            data = io.BytesIO(data)
        async with self.session.request(
            method, f"{self.base}{path}", data=data, headers=sent
        ) as answer:
            return Got(status=answer.status, headers=answer.headers, body=await answer.read())

    async def get(self, path: str, **headers: str) -> Got:
        return await self.call("GET", path, headers=headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Got:
        return await self.call(
            "POST", path, body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )


def email(to: str = "ada@example.org", **fields: Any) -> dict[str, Any]:
    """A request that is accepted."""
    return {
        "channel": "email",
        "to": [{"email": to}],
        "content": {"subject": "Hello", "text": "Hello Ada"},
        **fields,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """The base URL of this application while it is served in the running loop."""
    port = free_port()
    config = uvicorn.Config(
        app,
        port=port,
        lifespan="off",
        log_level="warning",
        # Longer than the client keeps a connection: else one may be used in the moment it ends.
        timeout_keep_alive=75,
    )
    server = Server(config)
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, within_s=10)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        server.force_exit = True
        await running


def served(api: Api) -> contextlib.AbstractAsyncContextManager[str]:
    """The base URL of this API while it is served."""
    return listening(mounted(build_app(api.services)))


async def make_tenant(api: Api, base: str, session: aiohttp.ClientSession) -> Tenant:
    """A new client that can send."""
    access = api.services.access
    client = await access.create_client(f"client-{next(_numbers)}-{api.services.new_id().hex()}")
    await access.set_sender(client.id, email="news@example.com", name="News")
    key = await access.create_key(client.id)
    return Tenant(base=base, session=session, client=client, key=key.text)


@pytest.fixture(scope="session")
def migrated(embedded: Embedded) -> Embedded:
    async def run() -> None:
        database = Database(embedded.mongo_uri("migrate"), component="migrate")
        await migrate(database)
        await database.close()

    asyncio.run(run())
    return embedded


@pytest_asyncio.fixture(scope="session")
async def api(migrated: Embedded) -> AsyncIterator[Api]:
    api = build_api(migrated.mongo_uri("platform"))
    yield api
    await api.close()


@pytest_asyncio.fixture(scope="session")
async def base(api: Api) -> AsyncIterator[str]:
    async with served(api) as url:
        yield url


@pytest_asyncio.fixture(scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture
async def tenant(api: Api, base: str, session: aiohttp.ClientSession) -> Tenant:
    return await make_tenant(api, base, session)


@pytest_asyncio.fixture
async def other(api: Api, base: str, session: aiohttp.ClientSession) -> Tenant:
    return await make_tenant(api, base, session)
