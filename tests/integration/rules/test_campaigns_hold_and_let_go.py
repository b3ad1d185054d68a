"""What a campaign holds is sent when it goes on, and once; what it cancels is not sent."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from cdp.domain.campaign import HELD_UNTIL, CampaignAct, CampaignState
from cdp.domain.event import EventName, Status
from cdp.domain.ids import ResultId
from cdp.errors import Conflict
from cdp.testing.smtp_server import Phase, reply
from tests.integration.rules.campaign_rig import SPRING, act, make_campaign, quick_keeper, reasons
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    accept,
    accept_many,
    as_stored,
    events_of,
    names_of,
    smtp_provider,
    statuses,
    taken,
)
from tests.integration.verification_world import request_of
from tests.waiting import eventually

A, E = CampaignAct, EventName
MANY = 240
"""More than two batches of the sweep."""


@pytest.fixture
async def parts(rig, smtp):
    """The API, a shard and a worker, each a process of its own; and a client."""
    api, wiring, worker = (rig.process(name) for name in ("api", "shard", "worker"))
    client = await rig.client(api)
    delivery = rig.worker(worker, smtp_provider(smtp))
    shard = LittleShard(wiring, delivery)
    await shard.own_all()
    await worker.campaigns.watch.refresh()
    return api, shard, worker, client.id


async def all_held(shard, items):
    async def held():
        await shard.step()
        stored = await shard.wiring.results.items_across_clients([i.result_id for i in items])
        assert {(i.reason, i.status) for i in stored.values()} == {
            ("campaign_held", Status.SCHEDULED)
        }
        return True

    await eventually(held, within_s=20)


async def test_what_comes_before_the_start_is_held_and_goes_with_it(rig, smtp, parts):
    api, shard, _, client_id = parts
    await make_campaign(api, client_id)
    items = await accept_many(api, client_id, MANY, campaign=SPRING)
    [other] = await accept_many(api, client_id, 1)

    await all_held(shard, items)
    await shard.settle([other])
    assert len(smtp.messages) == 1
    assert (await as_stored(api, items[0])).due_at == HELD_UNTIL

    await act(api, client_id, A.START)
    await shard.settle(items, within_s=60)

    assert len(smtp.messages) == MANY + 1
    assert reasons(await events_of(api, items[0])) == ["campaign_held", "campaign_started"]
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_name_without_a_campaign_holds_nothing(rig, smtp, parts):
    api, shard, _, client_id = parts
    other = await rig.client(api)
    await make_campaign(api, other.id)

    items = await accept_many(api, client_id, 3, campaign=SPRING)
    await shard.settle(items)

    assert len(smtp.messages) == 3


async def test_a_pause_in_the_midst_holds_what_is_not_claimed_and_the_rest_goes_on(
    rig, smtp, parts
):
    api, shard, worker, client_id = parts
    await make_campaign(api, client_id)
    await act(api, client_id, A.START)
    items = await accept_many(api, client_id, 300, campaign=SPRING)
    # Pulled, decided and queued; then the pause comes, and only the worker knows of it.
    await shard.campaigns.refresh()
    queued, _ = await shard.queueing.prepare(items, epochs=await shard.own_all())
    paused = await act(api, client_id, A.PAUSE)
    assert await worker.campaigns.watch.refresh() >= paused.epoch

    parked = await shard.queueing.deliver(queued[:150])
    await shard.campaigns.refresh()
    scheduled = await shard.queueing.deliver(queued[150:])

    # Where the shard does not know yet, it waits for a moment; where it does, it holds.
    assert (len(parked.parked), len(scheduled.settled)) == (150, 150)
    assert smtp.messages == []
    await all_held(shard, items)
    assert await names_of(api, items[0]) == [
        E.CREATED, E.CONTENT_RESOLVED, E.QUEUED, E.SCHEDULED,
    ]  # fmt: skip

    await act(api, client_id, A.RESUME)
    await worker.campaigns.watch.refresh()
    await shard.settle(items)

    assert reasons(await events_of(api, items[0])) == ["campaign_held", "campaign_resumed"]
    assert all(taken(smtp, item) == 1 for item in items)
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_cancel_ends_what_is_held_queued_scheduled_and_failed(rig, smtp, parts):
    api, shard, worker, client_id = parts
    await make_campaign(api, client_id)
    held = await accept_many(api, client_id, MANY, campaign=SPRING)
    await all_held(shard, held)
    await act(api, client_id, A.START)
    await shard.campaigns.refresh()
    far = api.clock.now() + timedelta(days=300)
    later = await accept(api, [request_of(client_id, campaign=SPRING, send_at=far)])
    decided = await shard.queueing.prepare(later, epochs=await shard.own_all())
    assert decided[1].settled[0].due_at == far
    fresh = await accept_many(api, client_id, 20, campaign=SPRING)
    queued, _ = await shard.queueing.prepare(fresh, epochs=await shard.own_all())

    cancelled = await act(api, client_id, A.CANCEL)
    assert await worker.campaigns.watch.refresh() == cancelled.epoch
    await shard.queueing.deliver(queued)
    late = await accept_many(api, client_id, 5, campaign=SPRING)
    await shard.settle([*held, *later, *fresh, *late], within_s=60)

    assert smtp.messages == []
    assert await statuses(api, [*held, *later, *fresh, *late]) == {Status.CANCELLED: MANY + 26}
    assert (await as_stored(api, later[0])).reason == "campaign_cancelled"
    await quick_keeper(rig.process("supervisor")).step()
    [settled] = (await api.campaigns.campaigns.named_across_clients([cancelled.key])).values()
    assert settled.is_settled
    assert (await rig.verify(settled=True)).violations == ()


async def test_what_failed_in_a_cancelled_campaign_is_not_tried_again(rig, smtp, parts):
    api, shard, _, client_id = parts
    await make_campaign(api, client_id)
    await act(api, client_id, A.START)
    smtp.on(Phase.RCPT, reply("451 4.7.1 Later"))
    [item] = await accept_many(api, client_id, 1, campaign=SPRING)
    queued, _ = await shard.queueing.prepare([item], epochs=await shard.own_all())
    await act(api, client_id, A.CANCEL)
    await shard.campaigns.refresh()

    await shard.queueing.deliver(queued)

    assert (await names_of(api, item))[-3:] == [
        E.DELIVERY_ATTEMPTED, E.DELIVERY_FAILED, E.CANCELLED,
    ]  # fmt: skip


async def test_what_is_held_expires_in_its_time(rig, smtp, parts):
    api, shard, _, client_id = parts
    await make_campaign(api, client_id)
    expires_at = api.clock.now() + timedelta(seconds=1.5)
    items = await accept(
        api, [request_of(client_id, campaign=SPRING, expires_at=expires_at) for _ in range(3)]
    )
    await all_held(shard, items)
    assert (await as_stored(api, items[0])).due_at == expires_at

    await shard.settle(items)

    assert await statuses(api, items) == {Status.EXPIRED: 3}
    assert smtp.messages == []


async def test_a_change_of_what_is_held_leaves_it_held(rig, smtp, parts):
    api, shard, _, client_id = parts
    await make_campaign(api, client_id)
    [urgent, later] = await accept_many(api, client_id, 2, campaign=SPRING)
    await all_held(shard, [urgent, later])
    soon = api.clock.now() + timedelta(seconds=0.5)

    for one, change in ((urgent, {"priority": 0}), (later, {"send_at": soon})):
        await api.communications.reschedule(client_id, [one.result_id], change=change)
    await eventually(lambda: api.clock.now() > soon, within_s=5)
    await all_held(shard, [urgent, later])
    await act(api, client_id, A.START)
    await shard.settle([urgent, later])

    assert len(smtp.messages) == 2
    assert (await as_stored(api, urgent)).lane == "email.high"
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_scheduled_campaign_begins_in_its_time_and_is_finished_when_all_is(
    rig, smtp, parts
):
    api, shard, _, client_id = parts
    start_at = api.clock.now() + timedelta(seconds=1.0)
    await make_campaign(api, client_id, start_at=start_at)
    items = await accept_many(api, client_id, 5, campaign=SPRING)
    scheduled = await act(api, client_id, A.START, A.CLOSE)
    keeper = quick_keeper(rig.process("supervisor"))
    await keeper.step()
    assert (await api.campaigns.service.get(client_id, SPRING)).state is CampaignState.SCHEDULED
    await all_held(shard, items)

    async def begun():
        await keeper.step()
        campaign = await api.campaigns.service.get(client_id, SPRING)
        return campaign if campaign.state is CampaignState.RUNNING else None

    running = await eventually(begun, within_s=10)
    assert running.started_at >= start_at > scheduled.updated_at
    # Closed, but not finished as long as anything of it is open.
    await keeper.step()
    assert (await api.campaigns.service.get(client_id, SPRING)).state is CampaignState.RUNNING
    await shard.settle(items)
    await keeper.step()

    finished = await api.campaigns.service.get(client_id, SPRING)
    assert (finished.state, finished.is_settled) == (CampaignState.FINISHED, True)
    assert len(smtp.messages) == 5


async def test_what_is_replayed_of_a_campaign_that_is_over_goes_once_more(rig, smtp, parts):
    api, shard, _, client_id = parts
    await make_campaign(api, client_id)
    await act(api, client_id, A.START)
    smtp.on(Phase.RCPT, reply("554 5.6.0 Not this"), times=1)
    items = await accept_many(api, client_id, 1, campaign=SPRING)
    await shard.settle(items)
    assert await statuses(api, items) == {Status.UNDELIVERABLE: 1}
    await act(api, client_id, A.CLOSE)
    await quick_keeper(rig.process("supervisor")).step()
    await shard.campaigns.refresh()

    stored = await as_stored(api, items[0])
    [(replayed, opened)] = await api.dead_letter_service().replay([stored], by="test")
    await shard.settle(items)

    assert (opened, replayed.campaign, len(smtp.messages)) == (True, SPRING, 1)
    finished = await api.campaigns.service.get(client_id, SPRING)
    counts = await api.campaigns.results.counts(finished.key)
    assert (finished.state, counts.by_status[Status.DELIVERED]) == (CampaignState.FINISHED, 1)
    assert (await rig.verify(settled=True)).violations == ()


async def test_nothing_of_it_is_finished_while_it_may_still_get_a_request(rig, parts):
    api, _, _, client_id = parts
    await make_campaign(api, client_id)
    await act(api, client_id, A.START, A.CLOSE)

    await rig.process("supervisor").campaigns.keeper.step()

    assert (await api.campaigns.service.get(client_id, SPRING)).state is CampaignState.RUNNING


async def test_what_was_held_when_its_campaign_was_taken_away_goes(rig, smtp, parts):
    api, shard, _, client_id = parts
    made = await make_campaign(api, client_id)
    items = await accept_many(api, client_id, 3, campaign=SPRING)
    await all_held(shard, items)
    with pytest.raises(Conflict, match="cancel it first"):
        await api.campaigns.service.delete(client_id, SPRING, seen=None)
    # They were let in, and held, just when nothing seemed to be left.
    gone = replace(made, is_deleted=True, version=made.version + 1)
    assert await api.campaigns.campaigns.replace(gone, seen=made.version)

    await shard.settle(items)

    assert len(smtp.messages) == 3
    assert reasons(await events_of(api, items[0])) == ["campaign_held", "campaign_deleted"]
    await quick_keeper(rig.process("supervisor")).step()
    tombstone = await api.campaigns.campaigns.find(client_id, SPRING)
    assert tombstone.is_settled
    # The newest number stays, or it would be given out again; and a new one is another.
    assert await api.campaigns.campaigns.sweep(before=api.clock.now() + timedelta(days=2)) == 0
    again = await make_campaign(api, client_id)
    assert (again.version, again.is_deleted) == (tombstone.version + 1, False)
    assert again.epoch == tombstone.epoch + 1


async def test_pausing_and_resuming_beside_the_sending_loses_and_doubles_nothing(rig, smtp, parts):
    api, shard, worker, client_id = parts
    await make_campaign(api, client_id)
    items = await accept_many(api, client_id, 200, campaign=SPRING)
    await act(api, client_id, A.START)
    stop = asyncio.Event()

    async def toggles():
        while not stop.is_set():
            for each in (A.PAUSE, A.RESUME):
                await act(api, client_id, each)
                await worker.campaigns.watch.refresh()
                await asyncio.sleep(0)

    toggling = asyncio.create_task(toggles())
    for _ in range(40):
        await shard.step()
    stop.set()
    await toggling
    await act(api, client_id, A.RESUME)
    await worker.campaigns.watch.refresh()
    await shard.settle(items, within_s=60)

    assert all(taken(smtp, item) == 1 for item in items)
    ids = {ResultId(item.result_id) for item in items}
    assert len(ids) == len(smtp.messages) == 200
    assert (await rig.verify(settled=True)).violations == ()
