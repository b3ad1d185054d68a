"""The pulls bring every client's work, the oldest first, whatever another has waiting."""

from datetime import timedelta
from typing import Any

from cdp.domain.ids import Partition
from cdp.domain.lane import LEVELS, Priority, lanes_of
from cdp.domain.shard_state import MARGIN, ShardLimits, ShardState
from tests.integration.rules.queue_filler import fill, new_item, store
from tests.integration.verification_world import PARTITIONS

EMAIL_HIGH, EMAIL = lanes_of("email")

ALL = [Partition(p) for p in range(PARTITIONS)]
LIMITS = ShardLimits(level_max=1_000, client_max=400, client_low=100, pull_max=200)


async def pull_all(wiring, state):
    """What a shard's poll does: ask who has work, and bring in what there is room for."""
    active = await wiring.results.active_clients_across_clients(
        LEVELS, partitions=ALL, until=wiring.clock.now()
    )
    for level, clients in active:
        state.is_active(level, clients)
    for pull in state.pulls():
        until = wiring.clock.now()
        items = await wiring.results.due_across_clients(
            partitions=ALL,
            lane=pull.level[0],
            priority=pull.level[1],
            client_id=pull.client_id,
            after=pull.after,
            until=until,
            limit=pull.limit,
        )
        state.pulled(pull, items, until)


def owner_of_all(limits=LIMITS):
    state = ShardState(limits=limits)
    state.own(ALL)
    return state


async def finish(rig, state, items):
    """They are done with, and out of the index."""
    ids = [item.result_id for item in items]
    await rig.admin["delivery_results"].update_many(
        {"_id": {"$in": ids}}, {"$set": {"status": "delivered"}, "$unset": {"due_at": ""}}
    )
    state.settle(ids)


async def test_fairness_a_single_item_is_served_among_the_first_beside_5000(rig):
    wiring = rig.process("shard")
    big, small = [(await rig.client(wiring)).id for _ in range(2)]
    now = wiring.clock.now()
    await fill(wiring, big, 5_000, since=now - timedelta(minutes=1))
    [single] = await fill(wiring, small, 1, since=now - timedelta(seconds=1))
    state = owner_of_all()

    await pull_all(wiring, state)
    first = state.take(EMAIL, 50)

    assert single.result_id in {item.result_id for item in first}
    assert {item.client_id for item in first} == {big, small}
    assert state.held()["known"] <= LIMITS.level_max


async def test_fairness_urgent_items_do_not_queue_behind_bulk(rig):
    wiring = rig.process("shard")
    client = (await rig.client(wiring)).id
    now = wiring.clock.now()
    await fill(wiring, client, 3_000, since=now - timedelta(minutes=1))
    urgent = await fill(wiring, client, 3, since=now - timedelta(seconds=1), priority=Priority.HIGH)
    state = owner_of_all()

    await pull_all(wiring, state)

    assert {i.result_id for i in state.take(EMAIL_HIGH, 10)} == {i.result_id for i in urgent}


async def test_fairness_everything_is_pulled_once_in_the_end(rig):
    wiring = rig.process("shard")
    clients = [(await rig.client(wiring)).id for _ in range(3)]
    since = wiring.clock.now() - timedelta(minutes=1)
    items = [
        i
        for c, n in zip(clients, (1_500, 300, 1), strict=True)
        for i in await fill(wiring, c, n, since=since)
    ]
    state = owner_of_all()

    served: list[Any] = []
    while len(served) < len(items):
        await pull_all(wiring, state)
        batch = state.take(EMAIL, 250)
        assert batch, "nothing more comes, and not all has come"
        served += batch
        await finish(rig, state, batch)

    assert {i.result_id for i in served} == {i.result_id for i in items}
    assert len(served) == len(items)


async def test_fairness_the_oldest_waits_for_no_partition(rig):
    wiring = rig.process("shard")
    client = (await rig.client(wiring)).id
    now = wiring.clock.now()
    old = await fill(wiring, client, 800, since=now - timedelta(minutes=10))
    state = owner_of_all()

    # As much comes in as goes out: who is served by partition leaves the last ones for ever.
    waiting = {item.result_id for item in old}
    for turn in range(12):
        await pull_all(wiring, state)
        batch = state.take(EMAIL, 200)
        waiting -= {item.result_id for item in batch}
        await finish(rig, state, batch)
        since = now - timedelta(minutes=5) + timedelta(seconds=turn)
        await fill(wiring, client, 200, since=since)

    # 2,400 were served, and 800 had come before all others.
    assert len(waiting) == 0


async def test_fairness_what_slips_below_the_emptied_time_is_found_by_the_rescan(rig):
    wiring = rig.process("shard")
    client = (await rig.client(wiring)).id
    state = owner_of_all()
    level = (EMAIL, Priority.NORMAL)
    [first] = await fill(wiring, client, 1, since=wiring.clock.now() - timedelta(seconds=1))
    await pull_all(wiring, state)
    await finish(rig, state, state.take(EMAIL, 10))
    # It was written late: its due time is older than what has been emptied.
    late = new_item(client, first.due_at - 3 * MARGIN)
    await store(wiring, [late])

    await pull_all(wiring, state)
    before = state.take(EMAIL, 10)
    state.rescan()
    await pull_all(wiring, state)
    after = state.take(EMAIL, 10)

    assert before == []
    assert [item.result_id for item in after] == [late.result_id]
    assert state.is_active(level, [client]) is None


async def test_fairness_what_is_written_within_the_margin_needs_no_rescan(rig):
    wiring = rig.process("shard")
    client = (await rig.client(wiring)).id
    state = owner_of_all()
    await fill(wiring, client, 1, since=wiring.clock.now() - timedelta(seconds=1))
    await pull_all(wiring, state)
    await finish(rig, state, state.take(EMAIL, 10))
    late = new_item(client, wiring.clock.now() - MARGIN / 2)
    await store(wiring, [late])

    await pull_all(wiring, state)

    assert [item.result_id for item in state.take(EMAIL, 10)] == [late.result_id]
