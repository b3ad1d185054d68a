"""A dead letter that is replayed is the same communication: only its attempts are new."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from cdp.cli import dead_letters
from cdp.domain.dead_letter import DeadLetterFilter
from cdp.domain.event import EventName, Status
from cdp.domain.failure import ErrorClass
from cdp.domain.retry import LOST_MAX
from cdp.testing.smtp_server import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    accept,
    accept_many,
    as_stored,
    events_of,
    message_ids,
    names_of,
    smtp_provider,
    statuses,
    taken,
)
from tests.integration.rules.test_d10_poison_takes_nobody_with_it import Vanishes
from tests.integration.verification_world import request_of
from tests.waiting import eventually

E = EventName
TRIED = [E.QUEUED, E.DELIVERY_ATTEMPTED]


@pytest.fixture
async def shard(rig, smtp):
    wiring = rig.process("shard")
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    return shard


async def replayed(wiring, items):
    """Replay these as they are stored now; the items after it."""
    service = wiring.dead_letter_service()
    stored = await service.items(items[0].client_id, [item.result_id for item in items])
    outcomes = await service.replay(list(stored.values()), by="test")
    return [item for item, opened in outcomes if opened]


async def test_after_a_replay_attempts_count_anew_and_their_numbers_go_on(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring, attempts_max=3)
    items = await accept_many(wiring, client.id, 5)
    # Of six attempts the sixth succeeds: three before the replay, three after it.
    smtp.on(Phase.DOT, reply("451 4.3.0 Later"), times=5 * 3)
    await shard.settle(items)
    assert await statuses(wiring, items) == {Status.UNDELIVERABLE: 5}

    for item in items:
        # One by one: together, one may be so much quicker that it meets another's refusals.
        smtp.on(Phase.DOT, reply("451 4.3.0 Later"), times=2)
        [opened] = await replayed(wiring, [item])
        assert (opened.status, opened.attempt, opened.replayed_after) == (Status.ACCEPTED, 3, 3)
        await shard.settle([item])
    assert await statuses(wiring, items) == {Status.DELIVERED: 5}
    for item in items:
        events = await events_of(wiring, item)
        numbers = [e.metadata["attempt"] for e in events if e.name is E.DELIVERY_ATTEMPTED]
        assert numbers == [1, 2, 3, 4, 5, 6]
        [replay] = [e for e in events if e.name is E.REPLAYED]
        assert replay.metadata == {"reason": "replayed", "by": "test"}
        # Neither made nor sent as another message.
        assert [e.name for e in events].count(E.CONTENT_RESOLVED) == 1
        assert taken(smtp, item) == 1
    assert len(message_ids(smtp)) == 5
    assert (await rig.verify(settled=True)).violations == ()


async def test_what_fails_again_is_a_dead_letter_again_and_can_be_replayed_again(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring, attempts_max=2)
    [item] = await accept_many(wiring, client.id, 1)
    smtp.on(Phase.RCPT, reply("451 4.3.0 Later"), times=6)
    await shard.settle([item])

    for attempts in (4, 6):
        await replayed(wiring, [item])
        await shard.settle([item])
        stored = await as_stored(wiring, item)
        assert (stored.status, stored.attempt) == (Status.UNDELIVERABLE, attempts)
        assert stored.reason == "attempts_spent"
        assert stored.failure is not None
        assert stored.failure.error_class is ErrorClass.TRANSIENT
        assert stored.failure.code == "451 4.3.0"

    await replayed(wiring, [item])
    await shard.settle([item])
    assert (await as_stored(wiring, item)).status is Status.DELIVERED
    assert (await rig.verify(settled=True)).violations == ()


async def test_of_many_who_replay_the_same_each_letter_is_replayed_once(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 20)
    smtp.on(Phase.RCPT, reply("554 5.0.0 No"), times=20)
    await shard.settle(items)

    opened = await asyncio.gather(*(replayed(wiring, items) for _ in range(5)))

    ids = [item.result_id for some in opened for item in some]
    assert sorted(ids) == sorted(item.result_id for item in items)
    # And a later repeat finds nothing to do.
    assert await replayed(wiring, items) == []
    await shard.settle(items)
    for item in items:
        assert (await names_of(wiring, item)).count(E.REPLAYED) == 1
    assert (await rig.verify(settled=True)).violations == ()


async def test_where_there_was_no_content_it_is_made_anew(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring)
    request = replace(request_of(client.id), content=None, template="late")
    [item] = await accept(wiring, [request])
    await shard.settle([item])
    assert (await as_stored(wiring, item)).reason == "template_missing"

    # Still missing: it is given up again, and says so.
    await replayed(wiring, [item])
    await shard.settle([item])
    assert (await as_stored(wiring, item)).reason == "template_missing"
    await rig.template(wiring, client.id, "late", subject="Late", text="but there")

    async def delivered():
        await replayed(wiring, [item])
        await shard.settle([item])
        return (await as_stored(wiring, item)).status is Status.DELIVERED

    # The absence is remembered for two seconds.
    await eventually(delivered, within_s=10)

    names = await names_of(wiring, item)
    assert names[-4:] == [E.CONTENT_RESOLVED, *TRIED, E.DELIVERY_SUCCEEDED]
    assert (await rig.verify(settled=True)).violations == ()


async def test_what_has_expired_meanwhile_ends_as_expired(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring)
    soon = wiring.clock.now() + timedelta(seconds=1)
    items = await accept_many(wiring, client.id, 2, expires_at=soon)
    smtp.on(Phase.RCPT, reply("554 5.0.0 No"))
    await shard.settle(items)
    assert await statuses(wiring, items) == {Status.UNDELIVERABLE: 2}
    await eventually(lambda: wiring.clock.now() > soon, within_s=5)

    await replayed(wiring, items)
    await shard.settle(items)

    assert await statuses(wiring, items) == {Status.EXPIRED: 2}
    for item in items:
        assert (await names_of(wiring, item)).count(E.DELIVERY_ATTEMPTED) == 1
    assert (await rig.verify(settled=True)).violations == ()


async def test_who_is_suppressed_stays_so_whatever_is_replayed(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring)
    # The server's answer puts the address on the client's list.
    smtp.on(Phase.RCPT, reply("550 5.1.1 Nobody"), times=1)
    [item] = await accept_many(wiring, client.id, 1)
    await shard.settle([item])

    [opened] = await replayed(wiring, [item])
    await shard.settle([item])

    assert opened.status is Status.ACCEPTED
    assert (await as_stored(wiring, item)).status is Status.SUPPRESSED
    assert (await names_of(wiring, item)).count(E.DELIVERY_ATTEMPTED) == 1
    assert smtp.messages == []
    assert (await rig.verify(settled=True)).violations == ()


async def test_poison_that_is_replayed_has_all_its_workers_before_it_again(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring)
    [item] = await accept_many(wiring, client.id, 1)
    doomed = LittleShard(wiring, handoff=Vanishes(wiring))
    await doomed.own_all()
    await doomed.settle([item])
    stored = await as_stored(wiring, item)
    assert (stored.reason, stored.lost) == ("poison", LOST_MAX)

    [opened] = await replayed(wiring, [item])
    await shard.settle([item])

    assert opened.lost == 0
    assert (await as_stored(wiring, item)).status is Status.DELIVERED
    assert (await rig.verify(settled=True)).violations == ()


async def test_after_a_crash_between_event_and_projection_a_repeat_repairs_it(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring)
    [item] = await accept_many(wiring, client.id, 1)
    smtp.on(Phase.RCPT, reply("554 5.0.0 No"), times=1)
    await shard.settle([item])
    dead = await as_stored(wiring, item)
    await replayed(wiring, [item])
    # As if the process had died before it wrote the result.
    fields = {"status": "undeliverable", "seq": dead.seq, "updated_at": dead.due_at}
    await rig.admin["delivery_results"].update_one(
        {"_id": item.result_id}, {"$set": fields, "$unset": {"due_at": ""}}
    )

    assert await replayed(wiring, [item]) == []

    assert (await as_stored(wiring, item)).status is Status.ACCEPTED
    await shard.settle([item])
    assert (await as_stored(wiring, item)).status is Status.DELIVERED
    assert (await rig.verify(settled=True)).violations == ()


async def test_the_oldest_are_replayed_first_and_only_what_the_filter_fits(rig, smtp, shard):
    wiring = shard.wiring
    client, other = await rig.client(wiring), await rig.client(wiring)
    smtp.on(Phase.RCPT, reply("554 5.0.0 No"))
    first = await accept_many(wiring, client.id, 3, campaign="spring")
    await shard.settle(first)
    later = await accept_many(wiring, client.id, 3, campaign="spring")
    foreign = await accept_many(wiring, other.id, 1, campaign="spring")
    autumn = await accept_many(wiring, client.id, 1, campaign="autumn")
    await shard.settle([*later, *foreign, *autumn])
    service = wiring.dead_letter_service()
    spring = DeadLetterFilter(campaign="spring", error_class=ErrorClass.PERMANENT)

    oldest = await service.oldest(client.id, spring, limit=4)

    assert {i.result_id for i in oldest[:3]} == {i.result_id for i in first}
    assert oldest[3].result_id in {i.result_id for i in later}
    everything = await service.oldest(client.id, spring, limit=100)
    assert {i.result_id for i in everything} == {i.result_id for i in (*first, *later)}


async def test_the_command_replays_all_that_had_failed_before_it_began(rig, smtp, shard):
    wiring = shard.wiring
    client = await rig.client(wiring)
    smtp.on(Phase.RCPT, reply("554 5.0.0 No"))
    items = await accept_many(wiring, client.id, 5)
    await shard.settle(items)
    service, now = wiring.dead_letter_service(), wiring.clock.now() + timedelta(milliseconds=1)
    later = await accept_many(wiring, client.id, 1)
    await eventually(lambda: wiring.clock.now() > now, within_s=5)
    await shard.settle(later)

    count = await dead_letters.replay_all(
        service, client.id, DeadLetterFilter(), now=now, at_once=2
    )
    again = await dead_letters.replay_some(service, client.id, [items[0].result_id])

    assert (count, again) == (5, 0)
    assert await statuses(wiring, [*items, *later]) == {
        Status.ACCEPTED: 5,
        Status.UNDELIVERABLE: 1,
    }
    assert await dead_letters.replay_some(service, client.id, [later[0].result_id]) == 1
