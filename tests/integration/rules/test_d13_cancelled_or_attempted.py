"""A cancel that races a send wins or loses, never both, and its caller is told which (D13)."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import aiohttp

from cdp.domain.event import EventName, Status
from cdp.domain.ids import ResultId, id_from_text
from tests.integration.http.conftest import email, make_tenant, served
from tests.integration.http.services import build_api
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    FAST_RETRY,
    accept,
    accept_many,
    as_stored,
    names_of,
    smtp_provider,
    taken,
)
from tests.integration.verification_world import request_of
from tests.waiting import eventually

E = EventName
MANY = 300
OVER_HTTP = 60


async def test_d13_of_many_cancels_beside_sends_each_is_cancelled_or_attempted(rig, smtp):
    wiring, api = rig.process("shard"), rig.process("api")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, MANY)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)), batch=20)
    await shard.own_all()

    async def cancels():
        said: dict[Any, Any] = {}
        # From the end, so that the two meet.
        for start in range(MANY - 10, -10, -10):
            ids = [item.result_id for item in items[start : start + 10]]
            said |= await api.communications.cancel(client.id, ids, metadata={"reason": "api"})
        return said

    said, _ = await asyncio.gather(cancels(), shard.settle(items))

    told = {item: said[item.result_id].status for item in items}
    assert {Status.CANCELLED, Status.DELIVERED} <= set(told.values()) | {Status.DELIVERED}
    for item, status in told.items():
        names = await names_of(wiring, item)
        assert (E.CANCELLED in names) != (E.DELIVERY_ATTEMPTED in names)
        assert (E.CANCELLED in names) == (status is Status.CANCELLED)
        assert taken(smtp, item) == (E.DELIVERY_ATTEMPTED in names)
    assert Counter(status is Status.CANCELLED for status in told.values())[True] > 0
    assert (await rig.verify(settled=True)).violations == ()


async def test_d13_the_api_answers_as_the_log_says(rig, smtp):
    wiring = rig.process("shard")
    api = build_api(rig.embedded.mongo_uri("platform"))
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)), batch=10)
    await shard.own_all()
    async with served(api) as base, aiohttp.ClientSession() as session:
        tenant = await make_tenant(api, base, session)
        await wiring.set_retry_policy(tenant.client.id, **FAST_RETRY)
        posted = [await tenant.post("/communications", email()) for _ in range(OVER_HTTP)]
        texts = [answer.json["id"] for answer in posted]

        async def cancels():
            return {t: (await tenant.post(f"/communications/{t}/cancel")) for t in reversed(texts)}

        answers, _ = await asyncio.gather(cancels(), shard.settle(list(api.hinted)))
    await api.close()

    seen: Counter[Any] = Counter()
    for item in api.hinted:
        [answer] = [a for t, a in answers.items() if id_from_text(t) == item.result_id]
        names = await names_of(wiring, item)
        seen[answer.status] += 1
        assert answer.status == (200 if E.CANCELLED in names else 409)
        assert (E.CANCELLED in names) != (E.DELIVERY_ATTEMPTED in names)
    assert set(seen) == {200, 409}, seen
    assert (await rig.verify(settled=True)).violations == ()


async def test_d13_what_expired_in_the_queue_is_not_sent(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    expires_at = wiring.clock.now() + timedelta(seconds=0.4)
    items = await accept(wiring, [request_of(client.id, expires_at=expires_at) for _ in range(5)])
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp))
    shard = LittleShard(wiring, worker)
    queued, _ = await shard.queueing.prepare(items, epochs=await shard.own_all())
    await eventually(lambda: wiring.clock.now() > expires_at, within_s=5)

    await worker.deliver(queued)

    assert smtp.messages == []
    for item in items:
        assert (await names_of(wiring, item))[-1] is E.EXPIRED
        assert (await as_stored(wiring, item)).status is Status.EXPIRED
    assert (await rig.verify(settled=True)).violations == ()


async def test_d13_a_cancel_whose_outcome_is_unknown_may_be_repeated(rig, smtp):
    wiring, api = rig.process("shard"), rig.process("api")
    client = await rig.client(wiring)
    [item] = await accept_many(wiring, client.id, 1)
    ids = [ResultId(item.result_id)]
    applied = {"closeConnection": True}
    async with rig.failing(["insert", "find"], app="api", mode={"skip": 2}, closeConnection=True):
        await rig.failpoint("onPrimaryTransactionalWrite", {"times": 1}, applied)
        first: object
        [first] = await asyncio.gather(
            api.communications.cancel(client.id, ids, metadata={}), return_exceptions=True
        )

    after = await api.communications.cancel(client.id, ids, metadata={})

    assert type(first).__name__ == "OutcomeUnknown"
    assert after[item.result_id].status is Status.CANCELLED
    assert await names_of(wiring, item) == [E.CREATED, E.CANCELLED]
    assert (await rig.verify(settled=True)).violations == ()
