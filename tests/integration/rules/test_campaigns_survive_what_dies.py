"""Whoever dies while a campaign is brought or taken back: the next goes on, and the log is true."""

import asyncio

import pytest

from cdp.domain.campaign import CampaignAct
from cdp.domain.event import Status
from cdp.errors import OutcomeUnknown
from cdp.services.campaign_acknowledgement import UNKNOWN, is_acknowledged
from tests.integration.rules.campaign_rig import SPRING, act, make_campaign, reasons
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    accept_many,
    as_stored,
    events_of,
    smtp_provider,
    statuses,
    taken,
)
from tests.integration.verification_world import PARTITIONS

A = CampaignAct
MANY = 50
BATCH = 20


async def held_campaign(rig, count):
    """So many held results of a draft."""
    api = rig.process("api")
    client = await rig.client(api)
    await make_campaign(api, client.id)
    items = await accept_many(api, client.id, count, campaign=SPRING)
    shard = LittleShard(rig.process("shard-before"))
    epochs = await shard.own_all()
    await shard.campaigns.refresh()
    _, decided = await shard.queueing.prepare(items, epochs=epochs)
    assert len(decided.settled) == count
    return api, client.id, items


@pytest.mark.parametrize("command", ["insert", "update", "find"])
@pytest.mark.parametrize("skipped", [0, 1, 2])
@pytest.mark.parametrize("last", [A.START, A.CANCEL])
async def test_a_sweep_that_dies_is_taken_up_by_the_next(rig, smtp, command, skipped, last):
    api, client_id, items = await held_campaign(rig, MANY)
    await act(api, client_id, last)
    dying = LittleShard(rig.process("dying"), batch=BATCH)
    epochs = await dying.own_all()
    await dying.campaigns.refresh()

    fault = {"closeConnection": True, "mode": {"skip": skipped}}
    async with rig.failing([command], app="dying", **fault):
        for _ in range(4):
            try:
                await dying.sweep.step(frozenset(epochs))
            except OutcomeUnknown:
                # All that it knew is lost with it.
                break

    worker = rig.process("worker")
    await worker.campaigns.watch.refresh()
    shard = LittleShard(rig.process("shard"), rig.worker(worker, smtp_provider(smtp)))
    await shard.own_all()
    await shard.settle(items, within_s=60)
    sent = 0 if last is A.CANCEL else MANY
    assert len(smtp.messages) == sent
    assert all(taken(smtp, item) == bool(sent) for item in items)
    assert (await rig.verify(settled=True)).violations == ()


async def test_what_a_shard_holds_too_late_is_brought_back_all_the_same(rig, smtp):
    api = rig.process("api")
    client = await rig.client(api)
    await make_campaign(api, client.id)
    items = await accept_many(api, client.id, 20, campaign=SPRING)
    worker = rig.process("worker")
    await worker.campaigns.watch.refresh()
    shard = LittleShard(rig.process("shard"), rig.worker(worker, smtp_provider(smtp)))
    epochs = await shard.own_all()
    await shard.campaigns.refresh()

    # The decision to hold is on its way to MongoDB while the start is applied and swept.
    async with rig.failing(["insert"], app="shard", blockConnection=True, blockTimeMS=400):
        holding = asyncio.create_task(shard.queueing.prepare(items, epochs=epochs))
        await asyncio.sleep(0)
        await act(api, client.id, A.START)
        await worker.campaigns.watch.refresh()
        await shard.campaigns.refresh()
        swept = await shard.sweep.step(frozenset(epochs))
        assert (swept.due, swept.is_more) == ([], False)
        _, decided = await holding
    assert {item.reason for item in decided.settled} == {"campaign_held"}

    await shard.settle(items)

    assert len(smtp.messages) == 20
    assert reasons(await events_of(api, items[0])) == ["campaign_held", "campaign_started"]
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_shard_looks_again_when_it_gets_partitions(rig):
    api, client_id, items = await held_campaign(rig, 64)
    await act(api, client_id, A.START)
    shard = LittleShard(rig.process("shard"))
    epochs = await shard.own_all()
    await shard.campaigns.refresh()
    few = frozenset(p for p in epochs if p < PARTITIONS // 2)

    first = await shard.sweep.step(few)
    second = await shard.sweep.step(frozenset(epochs))

    assert {i.partition for i in first.due} <= few
    assert len(first.due) + len(second.due) == 64
    assert await statuses(api, items) == {Status.SCHEDULED: 64}
    assert (await as_stored(api, items[0])).due_at <= api.clock.now()


async def test_changes_by_many_at_once_have_numbers_without_a_gap(rig):
    processes = [rig.process(f"api-{n}") for n in range(4)]
    clients = [(await rig.client(processes[0])).id for _ in range(4)]
    watch = rig.process("watching").campaigns.watch
    await watch.refresh()
    seen: list[int] = []
    done = asyncio.Event()

    async def look():
        while not done.is_set():
            known = watch.applied
            await watch.refresh()
            # All of what is applied is known: no number below comes up later.
            stored = await processes[0].campaigns.campaigns.changed_across_clients(
                after=known, limit=1_000
            )
            seen.append(watch.applied)
            for campaign in stored:
                if campaign.epoch <= watch.applied and not campaign.is_settled:
                    mine = watch.roster.named(campaign.key)
                    assert mine is not None
                    assert mine.epoch >= campaign.epoch

    async def change(wiring, client_id):
        await make_campaign(wiring, client_id)
        await act(wiring, client_id, A.START)
        for _ in range(5):
            await act(wiring, client_id, A.PAUSE, A.RESUME)

    looking = asyncio.create_task(look())
    await asyncio.gather(*map(change, processes, clients))
    done.set()
    await looking

    assert await processes[0].campaigns.campaigns.newest_epoch() == 4 * 12
    assert seen == sorted(seen)
    assert await watch.refresh() == 4 * 12
    assert {c.epoch for c in watch.roster.all()} <= set(range(1, 49))


async def test_a_process_that_starts_knows_all_that_is_not_over(rig):
    api = rig.process("api")
    clients = [(await rig.client(api)).id for _ in range(3)]
    for client_id in clients:
        await make_campaign(api, client_id)
    await act(api, clients[0], A.START, A.PAUSE)
    cancelled = await act(api, clients[2], A.CANCEL)
    await api.campaigns.service.settle(cancelled)

    watch = rig.process("new").campaigns.watch
    assert not watch.is_loaded
    newest = await watch.refresh()

    assert (watch.is_loaded, newest) == (True, 7)
    assert {c.client_id: c.state for c in watch.roster.all()} == {
        clients[0]: "paused", clients[1]: "draft",
    }  # fmt: skip


async def test_a_pause_is_acknowledged_when_all_have_looked(rig):
    api = rig.process("api")
    client = await rig.client(api)
    await make_campaign(api, client.id)
    paused = await act(api, client.id, A.START, A.PAUSE)
    watches = {name: rig.process(name).campaigns.watch for name in ("shard-0", "worker-0")}
    reports = [{"name": name, "campaign_epoch": 0} for name in (*watches, "gone")]
    hanging = asyncio.Event()

    async def ask(name):
        return await watches[name].refresh() if name in watches else None

    async def ask_one_that_hangs(name):
        await hanging.wait()
        return UNKNOWN

    async def nobody_is_asked(name):
        raise AssertionError(name)

    told = [report | {"campaign_epoch": paused.epoch} for report in reports]
    assert await is_acknowledged(paused.epoch, told, nobody_is_asked)
    assert not await is_acknowledged(paused.epoch, reports, ask_one_that_hangs, within_s=0.05)
    hanging.set()
    assert not await is_acknowledged(paused.epoch, reports, ask_one_that_hangs)
    assert await is_acknowledged(paused.epoch, reports, ask)
    assert {watch.applied for watch in watches.values()} == {paused.epoch}
