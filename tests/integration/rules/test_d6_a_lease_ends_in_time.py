"""Who holds a lease stops before it ends, and another begins after (D6)."""

import asyncio
from datetime import timedelta

import pytest

from cdp.domain.event import EventName, Status
from cdp.errors import OutcomeUnknown
from cdp.services.partition_service import PartitionHolder
from cdp.storage.partition_leases import PartitionLeases
from tests.integration.http.services import HeldClock
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    SHARD,
    accept_many,
    as_stored,
    events_of,
    recorded,
    smtp_provider,
)
from tests.waiting import eventually

E = EventName
TTL_S = 0.9
OTHER = "shard-1"


def holder(wiring, shard=SHARD, *, clock=None, ttl_s=TTL_S, incarnation=None):
    return PartitionHolder(
        leases=PartitionLeases(wiring.database),
        shard=shard,
        incarnation=incarnation or wiring.incarnation,
        ttl_s=ttl_s,
        clock=clock or wiring.clock,
    )


async def test_d6_a_holder_trusts_two_thirds_of_its_time(rig):
    wiring, clock = rig.process("shard"), HeldClock()
    await wiring.partition_assigner().assign([SHARD])
    mine = holder(wiring, clock=clock, ttl_s=60.0)

    await mine.renew()
    held = mine.epochs()
    clock.advance(timedelta(seconds=39.9))
    assert mine.epochs() == held
    assert len(held) == wiring.settings.partitions
    clock.advance(timedelta(seconds=0.2))
    assert mine.epochs() == {}

    await mine.renew()
    assert mine.epochs() == held


async def test_d6_the_time_counts_from_before_the_renewal(rig):
    wiring = rig.process("shard")
    await wiring.partition_assigner().assign([SHARD])
    mine = holder(wiring, ttl_s=0.6)

    fault = {"blockConnection": True, "blockTimeMS": 450}
    async with rig.failing(["update"], app="shard", **fault):
        held = await mine.renew()

    assert held
    assert mine.epochs() == {}


async def test_d6_a_jump_of_the_wall_clock_lengthens_no_lease(rig):
    wiring, clock = rig.process("shard"), HeldClock()
    await wiring.partition_assigner().assign([SHARD])
    mine = holder(wiring, clock=clock, ttl_s=60.0)
    await mine.renew()

    for jump in (timedelta(minutes=-10), timedelta(minutes=20)):
        clock._now += jump
        assert mine.epochs()
    clock.advance(timedelta(seconds=41))
    assert mine.epochs() == {}


async def test_d6_another_takes_over_only_when_mongodb_says_it_is_over(rig):
    first, second = rig.process("shard-a"), rig.process("shard-b")
    assigner = first.partition_assigner()
    await assigner.assign([SHARD])
    mine, its = holder(first), holder(second, OTHER)
    before = dict(await mine.renew())

    await assigner.assign([OTHER])
    taken_early = dict(await its.renew())
    trusted_then = mine.epochs()

    async def all_taken():
        held = dict(await its.renew())
        # At no moment do both of them trust a partition.
        assert not held.keys() & mine.epochs().keys()
        return len(held) == len(before) and held

    after = await eventually(all_taken, within_s=10)

    assert taken_early == {}
    assert trusted_then == before
    assert after == {partition: epoch + 1 for partition, epoch in before.items()}
    assert await mine.renew() == {}


async def test_d6_the_epoch_rises_at_each_change_of_hands_and_only_then(rig):
    wiring = rig.process("shard")
    assigner = wiring.partition_assigner()
    seen = []
    for index, shard in enumerate((SHARD, SHARD, OTHER, SHARD)):
        await assigner.assign([shard])
        mine = holder(wiring, shard, incarnation=f"{shard}:{index}")
        first = dict(await mine.renew())
        assert dict(await mine.renew()) == first
        seen.append(first)
        await mine.give_back()

    epochs = [set(held.values()) for held in seen]
    assert epochs == [{1}, {2}, {3}, {4}]


async def test_d6_what_was_given_back_is_no_longer_trusted_when_the_renewal_fails(rig):
    first, second = rig.process("shard-a"), rig.process("shard-b")
    assigner = first.partition_assigner()
    await assigner.assign([SHARD])
    mine, its = holder(first, ttl_s=60.0), holder(second, OTHER, ttl_s=60.0)
    await mine.renew()
    await assigner.assign([OTHER])

    mode = {"skip": 1}
    async with rig.failing(["update"], app="shard-a", mode=mode, closeConnection=True):
        with pytest.raises(OutcomeUnknown):
            await mine.renew()
    taken = await its.renew()

    assert not taken.keys() & mine.epochs().keys()


async def test_d6_what_is_reassigned_during_a_renewal_is_not_given_back_and_trusted(rig):
    first, second = rig.process("shard-a"), rig.process("shard-b")
    assigner = second.partition_assigner()
    await assigner.assign([SHARD])
    mine, its = holder(first, ttl_s=60.0), holder(second, OTHER, ttl_s=60.0)
    await mine.renew()
    before = await rig.times_entered()

    # The renewal has taken its leases, and its second update is late.
    fault = {"blockConnection": True, "blockTimeMS": 500}
    async with rig.failing(["update"], app="shard-a", mode={"skip": 1}, **fault):
        renewal = asyncio.create_task(mine.renew())

        async def is_late():
            return await rig.times_entered() > before

        await eventually(is_late, within_s=5)
        await assigner.assign([OTHER])
        await renewal
    taken = await its.renew()

    assert not taken.keys() & mine.epochs().keys()


async def test_d6_no_send_begins_when_the_claim_took_too_long(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 5)
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp), lease_s=1.2)
    shard = LittleShard(wiring, worker)
    queued, _ = await shard.queueing.prepare(items, epochs=await shard.own_all())
    fault = {"blockConnection": True, "blockTimeMS": 900}
    async with rig.failing(["insert"], app="worker", mode={"times": 1}, **fault):
        await worker.deliver(queued)
        await recorded(worker)

    assert smtp.connections_count == 0
    for item in items:
        [failed] = [e for e in await events_of(wiring, item) if e.name is E.DELIVERY_FAILED]
        assert (failed.metadata["code"], "outcome" in failed.metadata) == ("not_begun", False)

    await shard.settle(items)
    assert len(smtp.messages) == len(items)
    verification = await rig.verify(settled=True)
    assert (verification.violations, verification.unknown_outcomes) == ((), 0)


async def test_d6_a_shard_decides_nothing_of_a_partition_that_it_lost(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 5)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    epochs = await shard.own_all()
    kept = {p: e for p, e in epochs.items() if p != items[0].partition}

    queued, decided = await shard.queueing.prepare(items[:1], epochs=kept)

    assert (queued, decided.settled) == ([], items[:1])
    assert (await as_stored(wiring, items[0])).status is Status.ACCEPTED
    await shard.settle(items)
    for item in items:
        [event] = [e for e in await events_of(wiring, item) if e.name is E.QUEUED]
        assert event.metadata["epoch"] == epochs[item.partition]
    assert (await rig.verify(settled=True)).violations == ()
