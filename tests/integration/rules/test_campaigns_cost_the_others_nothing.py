"""What a campaign holds lies beyond every scan, by MongoDB's own profiler."""

import asyncio
from datetime import timedelta

import pytest

from cdp.domain.campaign import HELD_UNTIL, CampaignAct
from cdp.domain.event import Status
from cdp.domain.ids import Partition
from cdp.domain.lane import Priority, lanes_of
from cdp.services.scheduling_service import HORIZON
from tests.integration.rules.campaign_rig import SPRING, act, make_campaign
from tests.integration.rules.queue_filler import fill, new_item, store
from tests.integration.rules.test_fairness_queries_read_what_they_return import (
    STEPS,
    profiled,
    walked,
)
from tests.integration.verification_world import PARTITIONS

_, EMAIL = lanes_of("email")
MINE = [Partition(p) for p in range(0, PARTITIONS, 2)]
HELD, OTHERS = 3_000, 40
COUNTED = 100


@pytest.fixture
async def paused(rig):
    """A paused campaign of thousands, some other mail of the same client, and another campaign."""
    wiring = rig.process("shard")
    client_id = (await rig.client(wiring)).id
    now = wiring.clock.now()
    await make_campaign(wiring, client_id)
    await act(wiring, client_id, CampaignAct.START, CampaignAct.PAUSE)
    held = [
        new_item(
            client_id, HELD_UNTIL, status=Status.SCHEDULED, seq=2, reason="campaign_held",
            campaign=SPRING,
        )
        for _ in range(HELD)
    ]  # fmt: skip
    await store(wiring, held)
    await rig.admin["delivery_results"].update_many(
        {"campaign": SPRING}, {"$set": {"reason": "campaign_held"}}
    )
    await fill(wiring, client_id, OTHERS, since=now - timedelta(minutes=1))
    await fill(wiring, client_id, 500, since=now, campaign="autumn")
    return wiring, client_id, now


async def test_the_same_clients_other_mail_is_pulled_as_if_nothing_were_held(rig, paused):
    wiring, client_id, now = paused
    async with profiled(rig) as seen:
        pulled = await wiring.results.due_across_clients(
            partitions=MINE,
            lane=EMAIL,
            priority=Priority.NORMAL,
            client_id=client_id,
            after=None,
            until=now - timedelta(seconds=30),
            limit=1_000,
        )
        [(_, active)] = await wiring.results.active_clients_across_clients(
            [(EMAIL, Priority.NORMAL)], partitions=MINE, until=now
        )
        ahead = await wiring.results.scheduled_across_clients(
            after=now, until=now + HORIZON, limit=5_000
        )

    assert 0 < len(pulled) <= OTHERS
    assert (active, ahead) == ([client_id], [])
    for entry in seen:
        keys, documents, _ = walked(entry)
        assert keys <= len(pulled) + STEPS * len(MINE)
        assert documents <= len(pulled) + len(MINE)
    assert len(seen) == 3


async def test_what_is_held_is_no_backlog_and_counting_the_backlog_walks_past_it(rig, paused):
    wiring, client_id, now = paused
    async with profiled(rig) as seen:
        by_client, due = await wiring.results.unfinished_across_clients(MINE, due_by=now)

    [entry] = seen
    assert 0 < by_client[client_id] <= OTHERS + 500
    assert due <= by_client[client_id]
    assert entry["keysExamined"] <= by_client[client_id] + 5 * STEPS * len(MINE)


async def test_a_sweep_reads_what_it_moves_and_an_empty_one_next_to_nothing(rig, paused):
    wiring, client_id, _ = paused
    results, key = wiring.campaigns.results, (client_id, SPRING)
    async with profiled(rig) as seen:
        held = await results.held_across_clients(key, MINE, limit=200)
        cancellable = await results.cancellable_across_clients(key, MINE, limit=200)
        none = await results.held_across_clients((client_id, "autumn"), MINE, limit=200)
        other = await results.cancellable_across_clients((client_id, "winter"), MINE, limit=200)

    assert [len(each) for each in (held, cancellable, none, other)] == [200, 200, 0, 0]
    assert {item.partition for item in held} <= set(MINE)
    for entry, returned in zip(seen, (200, 200, 0, 0), strict=True):
        keys, documents, plan = walked(entry)
        assert plan.startswith("IXSCAN { client_id: 1, campaign: 1, status: 1, reason: 1")
        assert keys <= returned + STEPS * len(MINE)
        assert documents == returned


async def test_whether_a_campaign_is_done_is_one_look_and_its_books_read_no_document(rig, paused):
    wiring, client_id, _ = paused
    results, key = wiring.campaigns.results, (client_id, SPRING)
    async with profiled(rig) as seen:
        assert await results.has_open(key)
        assert not await results.has_open((client_id, "winter"))
        counts = await results.counts(key)

    assert (counts.held, counts.by_status[Status.SCHEDULED]) == (HELD, HELD)
    for entry in seen[:2]:
        assert entry["keysExamined"] <= len(Status)
    books = seen[2:]
    assert sum(entry["docsExamined"] for entry in books) == 0
    # Each of the held is counted as scheduled, and once more as held.
    assert sum(entry["keysExamined"] for entry in books) <= 2 * (HELD + 1) + 2 * len(books)


async def test_the_look_for_changes_reads_what_has_changed(rig, paused):
    wiring, client_id, _ = paused
    for n in range(20):
        await make_campaign(wiring, client_id, f"c{n}")
    newest = await wiring.campaigns.campaigns.newest_epoch()
    await rig.admin.raw.command("profile", 2)
    nothing = await wiring.campaigns.campaigns.changed_across_clients(after=newest, limit=1_000)
    one = await wiring.campaigns.campaigns.changed_across_clients(after=newest - 1, limit=1_000)
    await rig.admin.raw.command("profile", 0)

    query = {"ns": "cdp.campaigns", "appName": "cdp-shard", "op": "query"}
    seen = [entry async for entry in rig.admin["system.profile"].find(query)]
    await rig.admin.raw.drop_collection("system.profile")
    assert (nothing, len(one)) == ([], 1)
    assert [walked(entry)[:2] for entry in seen] == [(0, 0), (1, 1)]


async def test_books_are_counted_at_one_moment_however_much_is_written_meanwhile(rig, paused):
    wiring, client_id, _ = paused
    results, key = wiring.campaigns.results, (client_id, SPRING)
    collection = rig.admin["delivery_results"]
    stop = asyncio.Event()

    async def move() -> None:
        """One after the other, there and back: at each moment all of them are somewhere."""
        while not stop.is_set():
            for before, after in (("scheduled", "accepted"), ("accepted", "scheduled")):
                query = {"campaign": SPRING, "status": before}
                await collection.update_one(query, {"$set": {"status": after}})

    moving = [asyncio.create_task(move()) for _ in range(4)]
    try:
        sums = {sum((await results.counts(key)).by_status.values()) for _ in range(COUNTED)}
    finally:
        stop.set()
        await asyncio.gather(*moving)

    assert sums == {HELD}
