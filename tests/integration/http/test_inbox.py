"""Inboxes over HTTP: a user's token opens that user's inbox, and what is done there is recorded."""

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest

from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import ClientId, ResultId, fresh_id, text_of
from cdp.domain.inbox import MARK_MAX, InboxUser, Mark
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
VERBS = ("seen", "read", "archive", "unarchive")


@pytest.fixture
async def entries(embedded: Embedded):
    database = Database(embedded.mongo_uri("platform"), component="test")
    yield InboxEntries(database)
    await database.close()


def entry(client_id: ClientId, user: str = "ada", **fields: Any) -> InboxEntry:
    """An entry that has just arrived."""
    now = CLOCK.now()
    given: dict[str, Any] = {"title": "Hi", "body": "There", "created_at": now}
    result_id = ResultId(fresh_id(now, os.urandom))
    return InboxEntry(result_id=result_id, client_id=client_id, user=user, **(given | fields))


def ada_of(tenant: Tenant) -> InboxUser:
    return InboxUser(client_id=tenant.client.id, user="ada")


async def token_of(tenant: Tenant, user: str = "ada") -> str:
    answer = await tenant.post("/inbox/tokens", {"user": user})
    assert answer.status == 201, answer.body
    return str(answer.json["token"])


async def call(tenant: Tenant, token: str, method: str, path: str, body: Any = None) -> Got:
    return await tenant.call(method, path, body, headers={"Authorization": f"Bearer {token}"})


def titles(answer: Got) -> list[str]:
    return [item["title"] for item in answer.json["items"]]


def one_after_another(client_id: ClientId, *titles: str, **fields: Any) -> list[InboxEntry]:
    """Entries that arrived in this order, a second apart, up to now."""
    now = CLOCK.now()
    return [
        entry(client_id, title=title, created_at=now - timedelta(seconds=age), **fields)
        for title, age in zip(titles, reversed(range(len(titles))), strict=True)
    ]


async def test_a_user_sees_the_own_entries_the_newest_first_in_pages(tenant: Tenant, entries):
    mine = tenant.client.id
    await entries.put(one_after_another(mine, "one", "two", "three"))
    await entries.put([entry(mine, user="bob", title="bob's") for _ in range(3)])
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
    two, one = one_after_another(tenant.client.id, "two", "one")
    await entries.put([one, two])
    token, ids = await token_of(tenant), [text_of(one.result_id)]

    async def marked(mark):
        return (await call(tenant, token, "POST", "/inbox/mark", {"ids": ids, "mark": mark})).json

    async def listed(query=""):
        return (await call(tenant, token, "GET", f"/inbox{query}")).json["items"]

    def but(unread):
        return {"marked": ids, "has_more": False, "unread": unread}

    assert await marked("seen") == but(2)
    assert await marked("archived") == but(1)
    assert [len(await listed(query)) for query in ("", "?archived=true")] == [1, 1]
    assert await marked("unarchived") == but(2)
    assert await marked("read") == but(1)
    first = (await listed())[0]
    assert await marked("read") == but(1)
    assert await listed() == [first, *(await listed("?unread=true"))]
    assert first["read_at"]
    await marked("archived")
    assert await marked("unarchived") == but(1)
    assert len(await listed()) == 2


@pytest.mark.parametrize(
    ("verb", "field", "is_set"),
    [("seen", "seen_at", True), ("read", "read_at", True),
     ("archive", "archived_at", True), ("unarchive", "archived_at", False)],
)  # fmt: skip
async def test_one_entry_is_marked_by_its_path(tenant: Tenant, entries, verb, field, is_set):
    one, other = entry(tenant.client.id), entry(tenant.client.id)
    await entries.put([one, other])
    if verb == "unarchive":
        await entries.mark(ada_of(tenant), [one.result_id], Mark.ARCHIVED, CLOCK.now())
    token, known = await token_of(tenant), text_of(one.result_id)

    answer = await call(tenant, token, "POST", f"/inbox/{known}/{verb}")

    assert (answer.status, answer.json["marked"]) == (200, [known])
    found = {e.result_id: e for e in await entries.find(ada_of(tenant), [one.result_id])}
    assert (getattr(found[one.result_id], field) is not None) == is_set
    [untouched] = await entries.find(ada_of(tenant), [other.result_id])
    assert getattr(untouched, field) is None


async def test_all_up_to_an_entry_are_read_in_one_call_and_later_ones_are_not(
    tenant: Tenant, entries
):
    old, middle, late = one_after_another(tenant.client.id, "old", "middle", "late")
    bobs = entry(tenant.client.id, user="bob", created_at=old.created_at)
    await entries.put([old, middle, late, bobs])
    token = await token_of(tenant)
    body = {"up_to": text_of(middle.result_id), "mark": "read"}

    answer = await call(tenant, token, "POST", "/inbox/mark", body)
    again = await call(tenant, token, "POST", "/inbox/mark", body)

    ids = [text_of(each.result_id) for each in (middle, old)]
    assert answer.json == {"marked": ids, "has_more": False, "unread": 1}
    assert again.json == {"marked": [], "has_more": False, "unread": 1}
    assert (await tenant.get("/inbox/unread-count?user=bob")).json == {"unread": 1}


async def test_more_than_one_call_can_mark_are_marked_by_the_next(tenant: Tenant, entries):
    many = [entry(tenant.client.id) for _ in range(MARK_MAX + 1)]
    await entries.put(many)
    token = await token_of(tenant)
    newest = max(many, key=lambda each: (each.created_at, each.result_id))
    body = {"up_to": text_of(newest.result_id), "mark": "archived"}

    first = (await call(tenant, token, "POST", "/inbox/mark", body)).json
    second = (await call(tenant, token, "POST", "/inbox/mark", body)).json

    assert (len(first["marked"]), first["has_more"], first["unread"]) == (MARK_MAX, True, 1)
    assert (len(second["marked"]), second["has_more"], second["unread"]) == (1, False, 0)


async def test_an_entry_stands_where_it_arrived_whenever_it_was_accepted(tenant: Tenant, entries):
    mine = tenant.client.id
    days_ago = ResultId(fresh_id(CLOCK.now() - timedelta(days=3), os.urandom))
    scheduled = replace(entry(mine, title="accepted first"), result_id=days_ago)
    newest = entry(mine, title="accepted later", created_at=CLOCK.now() - timedelta(hours=1))
    await entries.put([newest, scheduled])

    shown = await call(tenant, await token_of(tenant), "GET", "/inbox")

    assert titles(shown) == ["accepted first", "accepted later"]


async def test_pages_lose_nothing_of_one_moment(tenant: Tenant, entries):
    at = CLOCK.now()
    put = [entry(tenant.client.id, created_at=at, title=str(n)) for n in range(7)]
    await entries.put(put)
    token, seen, cursor = await token_of(tenant), [], ""

    while cursor is not None:
        query = f"&cursor={cursor}" if cursor else ""
        page = (await call(tenant, token, "GET", f"/inbox?limit=2{query}")).json
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert seen == sorted((text_of(each.result_id) for each in put), reverse=True)


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
    await entries.mark(ada_of(tenant), [one.result_id], Mark.READ, CLOCK.now())

    await entries.put([one])

    [item] = (await call(tenant, token, "GET", "/inbox")).json["items"]
    assert item["read_at"] is not None


async def test_a4_another_users_entry_does_not_exist(tenant: Tenant, other: Tenant, entries):
    one = entry(tenant.client.id)
    await entries.put([one])
    known = text_of(one.result_id)
    tries = [("/inbox/mark", {"ids": [known], "mark": "read"}),
             ("/inbox/mark", {"up_to": known, "mark": "read"}),
             *((f"/inbox/{known}/{verb}", None) for verb in VERBS)]  # fmt: skip

    statuses = [
        (await call(who, await token_of(who, user), "POST", path, body)).status
        for who, user in ((tenant, "bob"), (other, "ada"))
        for path, body in tries
    ]

    assert statuses == [404] * 2 * len(tries)
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

    async def marked(**body):
        return (await call(tenant, token, "POST", "/inbox/mark", body)).pointers

    known = text_of(fresh_id(CLOCK.now(), os.urandom))
    flag = await call(tenant, token, "GET", "/inbox?unread=maybe")
    userless = await tenant.get("/inbox")

    assert await marked(ids=["x"], mark="seen") == {"/ids/0": "id_invalid"}
    assert await marked(ids=[], mark="eaten") == {"/mark": "literal_error"}
    assert await marked(mark="seen") == {"/ids": "missing"}
    assert await marked(up_to="x", mark="seen") == {"/up_to": "id_invalid"}
    assert await marked(up_to=known, ids=[known], mark="seen") == {"/up_to": "excluded"}
    assert await marked(up_to=known, mark="unarchived") == {"/mark": "unfit"}
    assert await marked(ids=[known] * (MARK_MAX + 1), mark="seen") == {"/ids": "too_long"}
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
    assert ours.headers["Access-Control-Expose-Headers"] == "Retry-After"
    assert "Access-Control-Allow-Origin" not in refused.headers
