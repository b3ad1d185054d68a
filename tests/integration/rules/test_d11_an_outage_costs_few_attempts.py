"""A provider that is away for a while is asked little, and all goes on by itself (D11)."""

import asyncio

from cdp.domain.breaker import Breaker
from cdp.domain.event import EventName, Status
from cdp.ports.handoff import Verdict
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    accept_many,
    events_of,
    smtp_provider,
    statuses,
    taken,
)
from tests.waiting import eventually

E = EventName
MESSAGES = 200
DOWN_S = 2.0


async def test_d11_while_the_provider_is_down_few_attempts_are_spent(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, MESSAGES)
    breaker = Breaker(open_s=0.2, open_max_s=0.5)
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp), breaker=breaker)
    shard = LittleShard(wiring, worker, batch=10)
    await shard.own_all()
    smtp.refuse_connections()
    back = asyncio.get_running_loop().call_later(
        DOWN_S, lambda: asyncio.ensure_future(smtp.listen())
    )

    await shard.settle(items, within_s=30)

    back.cancel()
    assert await statuses(wiring, items) == {Status.DELIVERED: MESSAGES}
    assert worker.breakers()["provider"] == "closed"
    logs = [await events_of(wiring, item) for item in items]
    attempts = sum(event.name is E.DELIVERY_ATTEMPTED for log in logs for event in log)
    assert MESSAGES < attempts <= 1.2 * MESSAGES
    assert [taken(smtp, item) for item in items] == [1] * MESSAGES
    verification = await rig.verify(settled=True)
    assert (verification.violations, verification.unknown_outcomes) == ((), 0)


async def test_d11_behind_an_open_breaker_nothing_is_claimed(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 20)
    worker = rig.worker(
        rig.process("worker"), smtp_provider(smtp), breaker=Breaker(open_s=0.5, open_max_s=0.5)
    )
    shard = LittleShard(wiring, worker)
    queued, _ = await shard.queueing.prepare(items, epochs=await shard.own_all())
    smtp.refuse_connections()
    await worker.deliver(queued[:5])
    assert worker.breakers()["provider"] == "open"

    reports = await worker.deliver(queued[5:])

    assert {report.verdict for report in reports} == {Verdict.DECLINED}
    for item in items[5:]:
        assert (await events_of(wiring, item))[-1].name is E.QUEUED

    await smtp.listen()
    waiting = [report.item for report in reports]

    async def all_sent():
        answers = await worker.deliver(waiting)
        waiting[:] = [a.item for a in answers if a.verdict is Verdict.DECLINED]
        return not waiting

    await eventually(all_sent, within_s=10)
    assert worker.breakers()["provider"] == "closed"
    await shard.settle(items)
    assert (await rig.verify(settled=True)).violations == ()
