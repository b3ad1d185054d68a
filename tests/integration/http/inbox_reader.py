"""A page that follows an inbox, the API with streams of a test's own, and how to break them."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from cdp.http.app import build_app, mounted
from cdp.services.inbox_streams import InboxStreams
from cdp.storage.database import Database
from cdp.storage.inbox import InboxEntries
from cdp.telemetry import Telemetry
from tests.integration.conftest import Embedded
from tests.integration.http.conftest import Tenant, listening
from tests.integration.http.services import Api
from tests.integration.http.test_inbox import CLOCK, token_of


class Reader:
    """A page that follows an inbox, as the Fetch API would let it."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.last_id = ""

    async def event(self, within_s: float = 10.0) -> tuple[str, Any]:
        """The next event; `end` when the stream has ended as it should."""
        name, data = "", ""
        async with asyncio.timeout(within_s):
            async for line in self.answer.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "id":
                    self.last_id = value
                elif field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif not field and name:
                    return name, json.loads(data)
        return "end", None

    async def heard(self) -> int:
        """The next id, which stands behind the events that were read."""
        async with asyncio.timeout(10):
            async for line in self.answer.content:
                if line.startswith(b"id: "):
                    self.last_id = line[4:].decode().strip()
                    return int(self.last_id)
        raise AssertionError("the stream has ended")

    async def rest(self) -> list[tuple[str, Any]]:
        """All events until the stream ends."""
        events = []
        while (event := await self.event(within_s=30))[0] != "end":
            events.append(event)
        return events

    async def titles(self, count: int) -> list[str]:
        """The titles of the next entries that are told."""
        found: list[str] = []
        while len(found) < count:
            name, content = await self.event()
            assert name != "end"
            found += [content["title"]] if name == "entry" else []
        return found


@contextlib.asynccontextmanager
async def following(
    tenant: Tenant, *, user: str = "ada", since: str = "", status: int = 200
) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {await token_of(tenant, user)}"}
    headers |= {"Last-Event-ID": since} if since else {}
    async with tenant.session.get(f"{tenant.base}/inbox/stream", headers=headers) as answer:
        assert answer.status == status, await answer.text()
        yield Reader(answer)


@contextlib.asynccontextmanager
async def streaming(api: Api, tenant: Tenant, **changes: Any) -> AsyncIterator[InboxStreams]:
    """The API with streams of its own, for this tenant."""
    given: dict[str, Any] = {"clock": CLOCK, "telemetry": Telemetry()}
    streams = InboxStreams(entries=InboxEntries(api.database), **(given | changes))
    services = dataclasses.replace(api.services, inbox_streams=streams)
    async with listening(mounted(build_app(services))) as base:
        tenant.base = base
        yield streams


@pytest.fixture
async def admin(embedded: Embedded) -> AsyncIterator[Database]:
    database = Database(embedded.mongo_uri("admin"), component="test-admin")
    yield database
    await database.close()


@contextlib.asynccontextmanager
async def failing(admin: Database, commands: list[str], mode: Any, **fault: Any):
    """These commands of the API go wrong; gives how often they have."""

    async def configure(mode: Any, **data: Any) -> int:
        command = {"configureFailPoint": "failCommand", "mode": mode, "data": data}
        return int((await admin.raw.client.admin.command(command))["count"])

    async def entered() -> int:
        name = "failpoint.failCommand"
        answer = await admin.raw.client.admin.command({"getParameter": 1, name: 1})
        return int(answer[name]["timesEntered"])

    before = await entered()
    await configure(mode, failCommands=commands, appName="cdp-api-test", **fault)

    async def times() -> int:
        return await entered() - before

    try:
        yield times
    finally:
        await configure("off")
