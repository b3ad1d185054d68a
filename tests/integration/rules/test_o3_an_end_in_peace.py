"""A worker that is told to end sends what it has claimed, and claims no more (O3)."""

import asyncio

from cdp.domain.event import EventName, Status
from cdp.testing.smtp_server import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept_many, names_of, smtp_provider, statuses, taken
from tests.waiting import eventually

MESSAGES = 40


async def queued_for(rig, smtp, **limits):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, MESSAGES)
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp), **limits)
    shard = LittleShard(wiring, worker)
    queued, _ = await shard.queueing.prepare(items, epochs=await shard.own_all())
    return wiring, items, worker, queued


async def test_o3_a_worker_that_ends_leaves_no_unknown_outcome(rig, smtp):
    wiring, items, worker, queued = await queued_for(rig, smtp, answer_s=0.05)
    smtp.on(Phase.DOT, reply("250 2.0.0 Slow", delay_s=0.05))
    await worker.deliver(queued)
    assert worker.in_flight

    await worker.close()

    assert worker.in_flight == 0
    assert await statuses(wiring, items) == {Status.DELIVERED: MESSAGES}
    assert smtp.sessions == set() or await eventually(lambda: not smtp.sessions, within_s=5)
    verification = await rig.verify(settled=True)
    assert (verification.violations, verification.unknown_outcomes) == ((), 0)


async def test_o3_a_batch_in_its_claim_is_waited_for(rig, smtp):
    _, items, worker, queued = await queued_for(rig, smtp)
    before = await rig.times_entered()
    fault = {"blockConnection": True, "blockTimeMS": 500}
    async with rig.failing(["insert"], app="worker", mode={"times": 1}, **fault):
        batch = asyncio.create_task(worker.deliver(queued))

        async def in_its_claim():
            return await rig.times_entered() > before

        await eventually(in_its_claim, within_s=5)
        await worker.close()
        ended_with = worker.in_flight, batch.done()
        await batch

    assert ended_with == (0, True)
    assert [taken(smtp, item) for item in items] == [1] * MESSAGES


async def test_o3_what_is_handed_over_after_the_end_is_declined(rig, smtp):
    wiring, items, worker, queued = await queued_for(rig, smtp)
    await worker.close()

    await worker.deliver(queued)
    await worker.drain()

    assert smtp.messages == []
    last = {(await names_of(wiring, item))[-1] for item in items}
    assert last == {EventName.QUEUED}
