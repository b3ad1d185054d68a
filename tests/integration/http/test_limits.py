"""What is too much is refused in time, with a word on when to come again."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

from cdp.http.app import ROUTES
from cdp.http.batches import post_batch
from cdp.services.backlog import DiskSpace
from tests.integration.http.conftest import Tenant, email, make_tenant, served
from tests.integration.http.services import HeldClock, build_api
from tests.waiting import eventually


async def test_a_client_at_its_limit_gets_429_and_others_do_not(migrated, session):
    api = build_api(migrated.mongo_uri("platform"), client_max=2)
    async with served(api) as base:
        full = await make_tenant(api, base, session)
        free = await make_tenant(api, base, session)
        two = email() | {"to": [{"email": "a@x.example"}, {"email": "b@x.example"}]}

        first = await full.post("/communications", two)
        second = await full.post("/communications", email())
        theirs = await free.post("/communications", email())
        api.services.backlog.update(1, {full.client.id: 1})
        after = await full.post("/communications", email())
    await api.close()

    assert [a.status for a in (first, second, theirs, after)] == [202, 429, 202, 202]
    assert second.headers["Retry-After"] == "5"
    assert second.json["type"] == "urn:cdp:problem:backlog-full"


async def test_what_was_accepted_is_answered_again_at_the_limit(migrated, session):
    api = build_api(migrated.mongo_uri("platform"), client_max=1)
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)

        first = await tenant.post("/communications", email(), Idempotency_Key="k")
        again = await tenant.post("/communications", email(), Idempotency_Key="k")
    await api.close()

    assert (first.status, again.status) == (202, 202)
    assert first.body == again.body


async def test_a_full_platform_sheds_bulk_before_what_is_urgent(migrated, session):
    api = build_api(migrated.mongo_uri("platform"), platform_max=100)
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        statuses = {}

        for backlog in (99, 100, 109, 110):
            for priority in ("high", "normal", "low"):
                api.services.backlog.update(backlog, {})
                answer = await tenant.post("/communications", email(priority=priority))
                statuses[backlog, priority] = answer.status
    await api.close()

    assert [statuses[99, p] for p in ("high", "normal", "low")] == [202, 202, 202]
    assert [statuses[100, p] for p in ("high", "normal", "low")] == [202, 503, 503]
    assert statuses[109, "high"] == 202
    assert statuses[110, "high"] == 503
    assert answer.headers["Retry-After"] == "10"


async def test_d15_a_nearly_full_disk_takes_nothing_more(migrated, session):
    clock = HeldClock()
    api = build_api(migrated.mongo_uri("platform"), clock=clock)
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)

        async def status_with(free_bytes: int, total_bytes: int) -> int:
            clock.advance(timedelta(seconds=1))
            api.disk = DiskSpace(free_bytes=free_bytes, total_bytes=total_bytes)
            return (await tenant.post("/communications", email())).status

        statuses = [
            await status_with(3 * 2**30, 10 * 2**30),
            await status_with(2 * 2**30 - 1, 10 * 2**30),
            await status_with(9 * 2**30, 100 * 2**30),
            await status_with(11 * 2**30, 100 * 2**30),
        ]
    await api.close()

    assert statuses == [202, 503, 503, 202]


async def test_beyond_the_requests_in_flight_the_next_is_refused_at_once(migrated, session):
    api = build_api(migrated.mongo_uri("platform"), requests_max=1)
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        is_in, let_go = asyncio.Event(), asyncio.Event()
        raw = json.dumps(email()).encode()

        async def held_back() -> AsyncIterator[bytes]:
            is_in.set()
            yield raw[:10]
            await let_go.wait()
            yield raw[10:]

        # The client begins with the body when the server, who has let it in, asks for it.
        held = tenant.post("/communications", held_back(), Expect="100-continue")
        slow = asyncio.create_task(held)
        async with asyncio.timeout(10):
            await is_in.wait()
        refused = await tenant.post("/communications", email())
        alive = await tenant.get("/healthz")
        let_go.set()
        first = await slow
        after = await tenant.post("/communications", email())
    await api.close()

    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert [a.status for a in (alive, first, after)] == [200, 202, 202]


async def test_a_batch_does_not_hold_up_singles(tenant: Tenant):
    body = json.dumps([email(f"n{n}@x.example") for n in range(3_000)]).encode()
    loop = asyncio.get_running_loop()
    batch = asyncio.create_task(tenant.post("/communications/batch", body))
    waits = []

    while not batch.done():
        began = loop.time()
        assert (await tenant.get("/healthz")).status == 200
        waits.append(loop.time() - began)
        await asyncio.wait([batch], timeout=0.005)

    assert (await batch).json["accepted"] == 3_000
    assert sorted(waits)[len(waits) // 2] < 0.25


def test_a_batch_has_longer_than_the_rest():
    [batch] = [route for route in ROUTES if route.handler is post_batch]
    assert batch.deadline_s > min(route.deadline_s for route in ROUTES)


async def test_metrics_may_ask_for_a_token(migrated, session):
    api = build_api(migrated.mongo_uri("platform"), metrics_token="secret")
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        refused = await tenant.get("/metrics")
        given = await tenant.get("/metrics", Authorization="Bearer secret")
    await api.close()

    assert (refused.status, given.status) == (401, 200)


async def test_one_client_can_not_hold_every_place(migrated, session):
    api = build_api(migrated.mongo_uri("platform"), requests_max=5)
    async with served(api) as base:
        slow = await make_tenant(api, base, session)
        other = await make_tenant(api, base, session)
        are_in: list[bool] = []
        let_go = asyncio.Event()
        raw = json.dumps(email()).encode()

        async def held_back() -> AsyncIterator[bytes]:
            are_in.append(True)
            yield raw[:10]
            await let_go.wait()
            yield raw[10:]

        # As above: each is in when it is asked for its body.
        posts = [slow.post("/communications", held_back(), Expect="100-continue") for _ in range(4)]
        held = [asyncio.create_task(post) for post in posts]
        await eventually(lambda: len(are_in) == len(held), within_s=10)
        refused = await slow.post("/communications", email())
        theirs = await other.post("/communications", email())
        let_go.set()
        done = await asyncio.gather(*held)
    await api.close()

    assert refused.status == 429
    assert theirs.status == 202
    assert [answer.status for answer in done] == [202] * 4
