"""Inboxes over HTTP: a user's token opens that user's inbox, and what is done there is recorded."""

import asyncio
import json
import os
from datetime import timedelta
from typing import Any

import aiohttp
import jwt
import pytest

from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import ClientId, ResultId, fresh_id, text_of
from cdp.ports.clock import SystemClock
from cdp.ports.inbox import InboxEntry
from cdp.services.communication_service import Move
from cdp.storage.database import Database
from cdp.storage.inbox import InboxEntries
from tests.integration.conftest import Embedded
from tests.integration.http.conftest import Got, Tenant
from tests.integration.http.services import Api

CLOCK = SystemClock()
E = EventName
KEY = b"i" * 32


@pytest.fixture
async def entries(embedded: Embedded):
    database = Database(embedded.mongo_uri("platform"), component="test")
    yield InboxEntries(database)
    await database.close()


def entry(client_id: ClientId, user: str = "ada", **fields: Any) -> InboxEntry:
    return InboxEntry(
        result_id=ResultId(fresh_id(CLOCK.now(), os.urandom)), client_id=client_id, user=user,
        created_at=CLOCK.now(), **({"title": "Hi", "body": "There"} | fields),
    )  # fmt: skip


async def token_of(tenant: Tenant, user: str = "ada") -> str:
    answer = await tenant.post("/inbox/tokens", {"user": user})
    assert answer.status == 201, answer.body
    return str(answer.json["token"])


async def call(tenant: Tenant, token: str, method: str, path: str, body: Any = None) -> Got:
    return await tenant.call(method, path, body, headers={"Authorization": f"Bearer {token}"})


def titles(answer: Got) -> list[str]:
    return [item["title"] for item in answer.json["items"]]


async def test_a_user_sees_the_own_entries_the_newest_first_in_pages(tenant: Tenant, entries):
    mine = tenant.client.id
    for title in ("one", "two", "three"):
        await entries.put([entry(mine, title=title), entry(mine, user="bob", title="bob's")])
        await asyncio.sleep(0.002)  # ids of different milliseconds sort in time
    token = await token_of(tenant)

    first = await call(tenant, token, "GET", "/inbox?limit=2")
    rest = await call(tenant, token, "GET", f"/inbox?limit=2&cursor={first.json['next_cursor']}")
    count = await call(tenant, token, "GET", "/inbox/unread-count")
    backend = await tenant.get("/inbox?user=bob&limit=2")

    assert titles(first) + titles(rest) == ["three", "two", "one"]
    assert rest.json["next_cursor"] is None
    assert count.json == {"unread": 3}
    assert titles(backend) == ["bob's", "bob's"]


async def test_an_entry_is_seen_read_archived_and_brought_back(tenant: Tenant, entries):
    one, two = entry(tenant.client.id), entry(tenant.client.id)
    await entries.put([one, two])
    token, ids = await token_of(tenant), [text_of(one.result_id)]

    async def marked(mark):
        return (await call(tenant, token, "POST", "/inbox/mark", {"ids": ids, "mark": mark})).json

    assert await marked("seen") == {"marked": ids, "unread": 2}
    assert await marked("read") == {"marked": ids, "unread": 1}
    first = (await call(tenant, token, "GET", "/inbox")).json["items"][1]
    assert await marked("read") == {"marked": ids, "unread": 1}
    again = (await call(tenant, token, "GET", "/inbox")).json["items"][1]
    assert first["read_at"] == again["read_at"]
    assert len((await call(tenant, token, "GET", "/inbox?unread=true")).json["items"]) == 1
    await marked("archived")
    assert len((await call(tenant, token, "GET", "/inbox")).json["items"]) == 1
    assert len((await call(tenant, token, "GET", "/inbox?archived=true")).json["items"]) == 1
    await marked("unarchived")
    assert len((await call(tenant, token, "GET", "/inbox")).json["items"]) == 2


async def test_what_is_over_is_not_shown(tenant: Tenant, entries):
    gone = entry(tenant.client.id, expires_at=CLOCK.now() - timedelta(seconds=1))
    await entries.put([gone, entry(tenant.client.id, expires_at=CLOCK.now() + timedelta(hours=1))])
    token = await token_of(tenant)

    assert len((await call(tenant, token, "GET", "/inbox")).json["items"]) == 1
    assert (await call(tenant, token, "GET", "/inbox/unread-count")).json == {"unread": 1}


async def test_a_message_that_is_sent_again_is_no_second_entry(tenant: Tenant, entries):
    one = entry(tenant.client.id)
    token = await token_of(tenant)
    await entries.put([one])
    await entries.mark(one.client_id, "ada", [one.result_id], "read_at", CLOCK.now())

    await entries.put([one])

    [item] = (await call(tenant, token, "GET", "/inbox")).json["items"]
    assert item["read_at"] is not None


async def test_a4_another_users_entry_does_not_exist(tenant: Tenant, other: Tenant, entries):
    one = entry(tenant.client.id)
    await entries.put([one])
    body = {"ids": [text_of(one.result_id)], "mark": "read"}

    bob = await call(tenant, await token_of(tenant, "bob"), "POST", "/inbox/mark", body)
    foreign = await call(other, await token_of(other, "ada"), "POST", "/inbox/mark", body)

    assert (bob.status, foreign.status) == (404, 404)
    assert titles(await call(other, await token_of(other, "ada"), "GET", "/inbox")) == []
    mine = await call(tenant, await token_of(tenant), "GET", "/inbox")
    assert mine.json["items"][0]["read_at"] is None


def forged(claims: dict[str, Any], key: Any = KEY, algorithm: str = "HS256") -> str:
    now = int(CLOCK.now().timestamp())
    usual = {"iss": "cdp", "aud": "inbox", "sub": "ada", "iat": now, "exp": now + 60}
    return jwt.encode({k: v for k, v in (usual | claims).items() if v is not None}, key, algorithm)


async def test_a3_a_token_that_is_not_quite_ours_opens_nothing(tenant: Tenant, other: Tenant):
    mine = {"client": text_of(tenant.client.id)}
    good = forged(mine)
    head, payload, signature = good.split(".")
    foreign = forged({"client": text_of(other.client.id)}).split(".")[1]
    tokens = {
        "none": forged(mine, key=None, algorithm="none"),
        "another key": forged(mine, key=b"x" * 32),
        "another algorithm": forged(mine, key=KEY * 2, algorithm="HS512"),
        "another audience": forged(mine | {"aud": "api"}),
        "no audience": forged(mine | {"aud": None}),
        "another issuer": forged(mine | {"iss": "somebody"}),
        "over": forged(mine | {"exp": 1}),
        "endless": forged(mine | {"exp": None}),
        "no client": forged({}),
        "a client that is none": forged({"client": "x"}),
        "cut": f"{head}.{payload}.",
        "swapped": f"{head}.{foreign}.{signature}",
        "noise": "a.b.c",
    }

    statuses = {
        name: (await call(tenant, token, "GET", "/inbox")).status for name, token in tokens.items()
    }

    assert (await call(tenant, good, "GET", "/inbox")).status == 200
    assert statuses == dict.fromkeys(tokens, 401)
    # It opens the inbox, and nothing else.
    assert (await call(tenant, good, "GET", "/communications")).status == 401


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/user": "missing"}),
        ({"user": ""}, {"/user": "string_too_short"}),
        ({"user": "a\n"}, {"/user": "user_invalid"}),
        ({"user": "a", "life_s": 10}, {"/life_s": "greater_than_equal"}),
        ({"user": "a", "life_s": 10**9}, {"/life_s": "less_than_equal"}),
    ],
)
async def test_a_token_is_for_a_user_and_a_time(tenant: Tenant, body, pointers):
    answer = await tenant.post("/inbox/tokens", body)

    assert (answer.status, answer.pointers) == (422, pointers)


async def test_wrong_marks_and_parameters_are_named(tenant: Tenant):
    token = await token_of(tenant)

    mark = await call(tenant, token, "POST", "/inbox/mark", {"ids": ["x"], "mark": "seen"})
    word = await call(tenant, token, "POST", "/inbox/mark", {"ids": [], "mark": "eaten"})
    flag = await call(tenant, token, "GET", "/inbox?unread=maybe")
    userless = await tenant.get("/inbox")

    assert mark.pointers == {"/ids/0": "id_invalid"}
    assert word.pointers == {"/ids": "too_short", "/mark": "literal_error"}
    assert flag.pointers == {"unread": "invalid"}
    assert userless.pointers == {"user": "user_invalid"}


async def attempted(api: Api, item: WorkItem) -> None:
    """The communication has been given to the inbox once."""
    content = Communication(
        result_id=item.result_id, request_id=item.request_id, client_id=item.client_id,
        channel="in_app", sender=("", ""), to=("ada", ""), content={"title": "Hi"},
        resolved_at=CLOCK.now(),
    )  # fmt: skip
    service = api.services.communications
    [resolved] = await service.record_content([(item, content)])
    assert resolved is not None
    queued = {"queue": item.lane, "epoch": 1, "due_at": CLOCK.now()}
    [waiting] = await service.advance([Move(item=resolved, name=E.QUEUED, metadata=queued)])
    assert waiting is not None
    claim = {"attempt": 1, "due_at": CLOCK.now(), "worker": "w", "provider": "inbox"}
    await service.advance([Move(item=waiting, name=E.DELIVERY_ATTEMPTED, metadata=claim)])


async def test_seeing_and_reading_are_events_of_the_communication(tenant: Tenant, entries, api):
    body = {
        "channel": "in_app", "to": [{"user": "ada"}], "content": {"title": "Hi", "body": "There"},
    }  # fmt: skip
    sent = (await tenant.post("/communications", body)).json["id"]
    [item] = [i for i in api.hinted if text_of(i.result_id) == sent]
    await attempted(api, item)
    one = InboxEntry(
        result_id=item.result_id, client_id=tenant.client.id, user="ada", title="Hi", body="There",
        created_at=CLOCK.now(),
    )  # fmt: skip
    await entries.put([one])
    token = await token_of(tenant)

    for mark in ("seen", "read", "read"):
        await call(tenant, token, "POST", "/inbox/mark", {"ids": [sent], "mark": mark})

    events = (await tenant.get(f"/communications/{sent}/events")).json["items"]
    engaged = [each["event"] for each in events if each["number"] is None]
    assert sorted(engaged) == [EventName.OPENED, EventName.READ]
    shown = (await tenant.get(f"/communications/{sent}")).json["recipients"][0]
    assert shown["opened_at"]
    assert shown["read_at"]


class Reader:
    """A page that follows an inbox."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def event(self, within_s: float = 10.0) -> tuple[str, Any]:
        name, data = "", ""
        async with asyncio.timeout(within_s):
            async for line in self.answer.content:
                text = line.decode().rstrip("\n")
                if text.startswith("event: "):
                    name = text[7:]
                elif text.startswith("data: "):
                    data = text[6:]
                elif not text and name:
                    return name, json.loads(data)
        raise AssertionError("the stream has ended")


async def test_a_stream_tells_of_a_new_entry_and_of_the_count(tenant: Tenant, entries):
    token = await token_of(tenant)
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{tenant.base}/inbox/stream"
    async with tenant.session.get(url, headers=headers) as answer:
        reader = Reader(answer)
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert await reader.event() == ("unread", {"unread": 0})
        # The change stream may begin a moment after the first event: put until one is told.
        told = asyncio.create_task(reader.event(within_s=20))
        put = []
        while not told.done():
            put.append(entry(tenant.client.id, title="news"))
            await entries.put([put[-1], entry(tenant.client.id, user="bob")])
            await asyncio.wait([told], timeout=0.5)
        name, told_entry = told.result()
        assert (name, told_entry["title"]) == ("entry", "news")
        assert (await reader.event())[0] in ("unread", "entry")

    resumed = headers | {"Last-Event-ID": told_entry["id"]}
    await entries.put([entry(tenant.client.id, title="while away")])
    async with tenant.session.get(url, headers=resumed) as answer:
        reader = Reader(answer)
        missed = []
        while (event := await reader.event())[0] == "entry":
            missed.append(event[1]["title"])
        assert missed[-1] == "while away"


async def test_only_pages_of_known_origins_may_read(tenant: Tenant):
    token = await token_of(tenant)

    async def asked(method, origin):
        headers = {"Authorization": f"Bearer {token}", "Origin": origin}
        return await tenant.call(method, "/inbox", headers=headers)

    ours, others = (
        await asked("GET", "https://app.example"),
        await asked("GET", "https://evil.example"),
    )
    preflight = await asked("OPTIONS", "https://app.example")
    refused = await asked("OPTIONS", "https://evil.example")

    assert ours.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Access-Control-Allow-Origin" not in others.headers
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in refused.headers
