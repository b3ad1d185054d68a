"""A campaign is spread over its window, pauses when much comes back, and respects its cap."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from cdp.domain.campaign import AutomaticPause, CampaignAct, CampaignState, FrequencyCap
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.event import EventName, Status
from cdp.testing.smtp_server import Phase, reply
from tests.integration.rules.campaign_rig import SPRING, act, make_campaign, quick_keeper, reasons
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    accept,
    accept_many,
    as_stored,
    events_of,
    smtp_provider,
    statuses,
)
from tests.integration.verification_world import request_of

A, E = CampaignAct, EventName


@pytest.fixture
async def parts(rig, smtp):
    """The API, a shard with its worker, and a client."""
    api, wiring, worker = (rig.process(name) for name in ("api", "shard", "worker"))
    client = await rig.client(api)
    shard = LittleShard(wiring, rig.worker(worker, smtp_provider(smtp)))
    await shard.own_all()
    return api, shard, client.id


def to_ada(client_id, **fields) -> CommunicationRequest:
    request = request_of(client_id, **({"campaign": SPRING} | fields))
    [recipient] = request.recipients
    return replace(request, recipients=(replace(recipient, identifier="ada@example.org"),))


async def test_messages_are_spread_over_the_window_from_the_start_on(rig, smtp, parts):
    api, shard, client_id = parts
    await make_campaign(api, client_id, spread_s=3)
    before = await accept_many(api, client_id, 30, campaign=SPRING)
    await shard.step()
    running = await act(api, client_id, A.START)
    await shard.step()
    after = await accept_many(api, client_id, 30, campaign=SPRING)
    await shard.step()

    dues = [(await as_stored(api, item)).due_at for item in before + after]
    assert running.started_at is not None
    window_ends = running.started_at + timedelta(seconds=3)
    assert all(due <= window_ends for due in dues)
    # Both halves have some, of sixty: the chance that one has less than ten is one in millions.
    middle = running.started_at + timedelta(seconds=1.5)
    assert 10 <= sum(due > middle for due in dues) <= 50
    assert len(smtp.messages) < 60

    await shard.settle(before + after)

    assert len(smtp.messages) == 60
    seen = {reason for item in after for reason in reasons(await events_of(api, item))}
    assert seen == {"spread"}
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_campaign_whose_addresses_do_not_exist_is_paused(rig, smtp, parts):
    api, shard, client_id = parts
    rule = AutomaticPause(bounce_rate=0.4, results_min=10)
    await make_campaign(api, client_id, automatic_pause=rule)
    await act(api, client_id, A.START)

    async def judged_after(good, bad):
        smtp.on(Phase.RCPT, reply("550 5.1.1 No such user"), times=bad)
        await shard.settle(await accept_many(api, client_id, bad, campaign=SPRING))
        await shard.settle(await accept_many(api, client_id, good, campaign=SPRING))
        # A Supervisor that has counted nothing yet: what it has counted counts for a moment.
        await quick_keeper(rig.process("supervisor")).step()
        return await api.campaigns.service.get(client_id, SPRING)

    # Of too few results a rate says nothing.
    assert (await judged_after(4, 5)).state is CampaignState.RUNNING
    paused = await judged_after(1, 1)
    assert (paused.state, paused.pause_reason) == (CampaignState.PAUSED, "bounce_rate")
    assert (paused.judged_from.delivered, paused.judged_from.bounced) == (5, 6)

    # Whoever lets it go on is not paused again for what was.
    await act(api, client_id, A.RESUME)
    assert (await judged_after(8, 1)).state is CampaignState.RUNNING
    assert (await judged_after(1, 6)).state is CampaignState.PAUSED


async def test_nobody_is_written_to_more_often_than_the_cap_allows(rig, smtp, parts):
    api, shard, client_id = parts
    cap = FrequencyCap(messages=2, window_s=3_600)
    await make_campaign(api, client_id, frequency_cap=cap)
    await act(api, client_id, A.START)
    first = await accept(api, [to_ada(client_id)])
    await shard.settle(first)

    rest = await accept(api, [to_ada(client_id) for _ in range(5)])
    # A message of no campaign is none of those that are counted, nor is another's.
    others = await accept(api, [to_ada(client_id, campaign=None), request_of(client_id)])
    await shard.settle([*rest, *others])

    assert await statuses(api, rest) == {Status.DELIVERED: 1, Status.SUPPRESSED: 4}
    first_of_all, *more = sorted(rest, key=lambda item: item.result_id)
    assert (await as_stored(api, first_of_all)).status is Status.DELIVERED
    assert {(await as_stored(api, item)).reason for item in more} == {"frequency_cap"}
    assert await statuses(api, others) == {Status.DELIVERED: 2}
    assert (await rig.verify(settled=True)).violations == ()


async def test_the_cap_holds_when_two_shards_decide_at_once(rig, smtp, parts):
    api, shard, client_id = parts
    await make_campaign(api, client_id, frequency_cap=FrequencyCap(messages=1, window_s=60))
    await act(api, client_id, A.START)
    items = await accept(api, [to_ada(client_id) for _ in range(12)])
    other = LittleShard(rig.process("other"), rig.worker(rig.process("w2"), smtp_provider(smtp)))
    epochs = await shard.own_all()
    for each in (shard, other):
        await each.campaigns.refresh()

    queued = await asyncio.gather(
        shard.queueing.prepare(items[::2], epochs=epochs),
        other.queueing.prepare(items[1::2], epochs=epochs),
    )

    ready = [item for some, _ in queued for item in some]
    assert [item.result_id for item in ready] == [min(item.result_id for item in items)]


async def test_what_a_paused_campaign_holds_counts_against_nobody(rig, smtp, parts):
    api, shard, client_id = parts
    await make_campaign(api, client_id, "autumn")
    await make_campaign(api, client_id, frequency_cap=FrequencyCap(messages=1, window_s=60))
    await act(api, client_id, A.START)
    held = await accept(api, [to_ada(client_id, campaign="autumn") for _ in range(3)])
    await shard.campaigns.refresh()

    # Neither before it is held nor after.
    [one] = await accept(api, [to_ada(client_id)])
    await shard.settle([one])

    assert (await as_stored(api, one)).status is Status.DELIVERED
    assert await statuses(api, held) == {Status.SCHEDULED: 3}
