"""The same key and body, the same answer: repeated, raced, cut off and crashed (D2, D3)."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from cdp.domain.ids import id_from_text
from cdp.storage.database import Database
from tests.integration.conftest import Embedded
from tests.integration.http.conftest import Tenant, email, make_tenant, served
from tests.integration.http.services import HeldClock, build_api
from tests.waiting import eventually

WRITES = ("communication_requests", "recipients", "communication_logs", "delivery_results")


@asynccontextmanager
async def failing(embedded: Embedded, collection: str) -> AsyncIterator[None]:
    """Inserts into this collection fail as if the process had died before them."""
    admin = Database(embedded.mongo_uri("admin"), component="chaos")
    switch = admin.raw.client.admin
    data = {
        "failCommands": ["insert"],
        "namespace": f"cdp.{collection}",
        "appName": "cdp-api-test",
        "errorCode": 8000,
    }
    await switch.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        await switch.command({"configureFailPoint": "failCommand", "mode": "off"})
        await admin.close()


async def stored(api_database: Database, client_id: bytes) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [d async for d in api_database[name].find({"client_id": client_id})]
        for name in WRITES
    }


async def test_a_repeat_gets_the_same_answer_byte_for_byte(tenant: Tenant):
    to = [{"email": f"r{n}@example.org"} for n in range(3)]
    body = email() | {"to": to}

    first = await tenant.post("/communications", body, Idempotency_Key="order 1")
    again = await tenant.post("/communications", body, Idempotency_Key="order 1")

    assert (first.status, again.status) == (202, 202)
    assert first.body == again.body
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len((await tenant.get("/communications")).json["items"]) == 3


async def test_a_repeat_is_answered_the_same_though_it_would_be_refused_now(tenant: Tenant):
    await tenant.call("PUT", "/templates/gone", {"email": {"subject": "s", "text": "t"}})
    body = {"channel": "email", "to": [{"email": "a@b.example"}], "template": "gone"}
    first = await tenant.post("/communications", body, Idempotency_Key="k")
    await tenant.call("DELETE", "/templates/gone")

    async def is_gone() -> bool:
        return (await tenant.post("/communications", body)).status == 422

    await eventually(is_gone, within_s=5)

    again = await tenant.post("/communications", body, Idempotency_Key="k")
    new = await tenant.post("/communications", body, Idempotency_Key="k2")

    assert (first.status, again.status, new.status) == (202, 202, 422)
    assert again.body == first.body


async def test_another_body_under_the_same_key_is_refused(tenant: Tenant):
    await tenant.post("/communications", email(), Idempotency_Key="k")

    other = await tenant.post("/communications", email("b@example.org"), Idempotency_Key="k")
    spaced = await tenant.post(
        "/communications", json.dumps(email(), indent=1).encode(), Idempotency_Key="k"
    )

    for answer in (other, spaced):
        assert answer.status == 422
        assert answer.json["type"] == "urn:cdp:problem:key-reused"


async def test_a_key_belongs_to_its_client(tenant: Tenant, other: Tenant):
    mine = await tenant.post("/communications", email(), Idempotency_Key="k")
    theirs = await other.post("/communications", email("b@example.org"), Idempotency_Key="k")

    assert (mine.status, theirs.status) == (202, 202)
    assert mine.json["id"] != theirs.json["id"]


async def test_racing_repeats_make_one_communication(tenant: Tenant):
    answers = await asyncio.gather(
        *(tenant.post("/communications", email(), Idempotency_Key="k") for _ in range(20))
    )

    counts = Counter(answer.status for answer in answers)
    assert set(counts) <= {202, 409}
    assert counts[202] >= 1
    assert len({answer.body for answer in answers if answer.status == 202}) == 1
    for answer in answers:
        if answer.status == 409:
            assert answer.json["type"] == "urn:cdp:problem:key-in-use"
            assert answer.headers["Retry-After"] == "1"
    assert len((await tenant.get("/communications")).json["items"]) == 1


async def test_d2_each_waiter_of_a_group_gets_its_own_outcome(tenant: Tenant):
    await tenant.post("/communications", email("first@example.org"), Idempotency_Key="taken")
    bodies: list[tuple[Any, dict[str, str]]] = [(email(f"n{n}@x.example"), {}) for n in range(48)]
    bodies.insert(10, (email("other@example.org"), {"Idempotency_Key": "taken"}))
    bodies.insert(30, (b'{"data":"' + b"x" * 1_100_000 + b'"}', {}))

    answers = await asyncio.gather(
        *(tenant.post("/communications", body, **headers) for body, headers in bodies)
    )

    assert Counter(a.status for a in answers) == {202: 48, 422: 1, 413: 1}
    assert (answers[10].status, answers[30].status) == (422, 413)


HANGS_UP_AFTER_S = 0.003


async def test_d2_who_hangs_up_leaves_a_whole_communication_or_none(
    embedded: Embedded, tenant: Tenant
):
    to = [{"email": f"r{n}@example.org"} for n in range(3)]
    posts = [
        asyncio.create_task(tenant.post("/communications", email() | {"to": to})) for _ in range(50)
    ]
    for number, post in enumerate(posts):
        if number % 5 == 0:
            # Each hangs up at another moment, unless it had its answer before.
            await asyncio.wait([post], timeout=HANGS_UP_AFTER_S)
            post.cancel()
    answers = await asyncio.gather(*posts, return_exceptions=True)
    database = Database(embedded.mongo_uri("platform"), component="test")

    async def all_written() -> dict[str, list[dict[str, Any]]]:
        found = await stored(database, tenant.client.id)
        # Results come last, so what has a request without them is on its way.
        begun = {d["_id"] for d in found["communication_requests"]}
        assert begun == {d["request_id"] for d in found["delivery_results"]}
        return found

    documents = await eventually(all_written, within_s=10)
    await database.close()

    accepted = {a.json["id"] for a in answers if not isinstance(a, BaseException)}
    assert len(accepted) >= 40
    per_request = Counter(d["request_id"] for d in documents["delivery_results"])
    assert set(per_request.values()) == {3}
    assert {id_from_text(i) for i in accepted} <= set(per_request)
    assert set(per_request) <= {d["_id"] for d in documents["communication_requests"]}
    created = {d["_id"][:16] for d in documents["communication_logs"]}
    assert {d["_id"] for d in documents["delivery_results"]} <= created


@pytest.mark.parametrize("collection", WRITES)
async def test_d3_a_crash_after_any_write_is_completed_by_the_repeat(
    migrated: Embedded, session: Any, collection: str
):
    clock = HeldClock()
    api = build_api(migrated.mongo_uri("platform"), clock=clock)
    body = email() | {"to": [{"email": f"r{n}@example.org"} for n in range(3)]}
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)

        async with failing(migrated, collection):
            crashed = await tenant.post("/communications", body, Idempotency_Key="k")
        early = await tenant.post("/communications", body, Idempotency_Key="k")
        clock.advance(timedelta(seconds=11))
        repeat = await tenant.post("/communications", body, Idempotency_Key="k")
        again = await tenant.post("/communications", body, Idempotency_Key="k")
        documents = await stored(api.database, tenant.client.id)
    await api.close()

    assert crashed.status == 500
    assert early.status == (202 if collection == "communication_requests" else 409)
    assert (repeat.status, again.status) == (202, 202)
    assert repeat.body == again.body
    assert {name: len(found) for name, found in documents.items()} == {
        "communication_requests": 1, "recipients": 3, "communication_logs": 3,
        "delivery_results": 3,
    }  # fmt: skip


@pytest.mark.parametrize("collection", WRITES)
async def test_d3_a_batch_cut_off_is_completed_by_the_repeat(
    migrated: Embedded, session: Any, collection: str
):
    clock = HeldClock()
    api = build_api(migrated.mongo_uri("platform"), clock=clock)
    body = [email(f"n{n}@x.example") for n in range(7)] + [{"channel": "fax"}]
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)

        async with failing(migrated, collection):
            crashed = await tenant.post("/communications/batch", body, Idempotency_Key="k")
        clock.advance(timedelta(seconds=61))
        repeat = await tenant.post("/communications/batch", body, Idempotency_Key="k")
        again = await tenant.post("/communications/batch", body, Idempotency_Key="k")
        documents = await stored(api.database, tenant.client.id)
    await api.close()

    assert {item["status"] for item in crashed.json["items"]} == {500, 422}
    assert repeat.json["accepted"] == 7
    assert repeat.body == again.body
    assert repeat.json["batch_id"] == crashed.json["batch_id"]
    assert {name: len(found) for name, found in documents.items()} == dict.fromkeys(WRITES, 7)
