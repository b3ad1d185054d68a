"""Every query of the data path walks its index and no more: by MongoDB's own profiler.

What is profiled is the query that the repository really sends.
"""

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from cdp.domain.event import Status
from cdp.domain.ids import BatchId, Partition
from cdp.domain.lane import Priority, lanes_of
from tests.integration.rules.queue_filler import fill, new_item, store
from tests.integration.verification_world import PARTITIONS, new_id

_, EMAIL = lanes_of("email")

MINE = [Partition(p) for p in range(0, PARTITIONS, 2)]
BATCH = BatchId(new_id())
STEPS = 3
"""Keys at which a walk leaves a partition: the next client's, the next priority's, the next's."""


@asynccontextmanager
async def profiled(rig, collection="delivery_results"):
    """A list, which in the end holds what the server says of each query."""
    seen: list[Any] = []
    await rig.admin.raw.command("profile", 2)
    try:
        yield seen
    finally:
        await rig.admin.raw.command("profile", 0)
        query = {"ns": f"cdp.{collection}", "appName": "cdp-shard"}
        seen += [entry async for entry in rig.admin["system.profile"].find(query)]
        await rig.admin.raw.drop_collection("system.profile")


@pytest.fixture
async def filled(rig):
    """Three clients: much due, much later, and all else that a query could trip over."""
    wiring = rig.process("shard")
    clients = [(await rig.client(wiring)).id for _ in range(3)]
    now = wiring.clock.now()
    for client_id in clients:
        await fill(wiring, client_id, 1_000, since=now - timedelta(minutes=1))
        await fill(wiring, client_id, 200, since=now, priority=Priority.LOW)
        waiting = [
            new_item(client_id, now + timedelta(seconds=n), status=Status.SCHEDULED, seq=2)
            for n in range(1, 201)
        ]
        await store(wiring, waiting, batch_id=BATCH)
    return wiring, clients, now


def walked(entry):
    """Keys and documents that were read, and how the plan walked."""
    return entry["keysExamined"], entry["docsExamined"], entry["planSummary"]


async def test_fairness_a_pull_reads_what_it_returns(rig, filled):
    wiring, [client_id, *_], now = filled
    async with profiled(rig) as seen:
        whole = await wiring.results.due_across_clients(
            partitions=MINE,
            lane=EMAIL,
            priority=Priority.NORMAL,
            client_id=client_id,
            after=None,
            until=now,
            limit=10_000,
        )
        some = await wiring.results.due_across_clients(
            partitions=MINE,
            lane=EMAIL,
            priority=Priority.NORMAL,
            client_id=client_id,
            after=now - timedelta(seconds=59.8),
            until=now,
            limit=100,
        )

    assert (len(some), len(whole) > 400) == (100, True)
    first, second = [e for e in seen if e["op"] == "query"]
    for entry, returned in ((first, len(whole)), (second, 100)):
        keys, documents, plan = walked(entry)
        assert plan.startswith("IXSCAN { partition: 1, lane: 1, priority: 1, client_id: 1")
        assert keys <= returned + STEPS * len(MINE)
        assert documents <= returned + len(MINE)


async def test_fairness_an_empty_pull_looks_into_each_partition_once(rig, filled):
    wiring, [client_id, *_], now = filled
    async with profiled(rig) as seen:
        found = await wiring.results.due_across_clients(
            partitions=MINE,
            lane=EMAIL,
            priority=Priority.NORMAL,
            client_id=client_id,
            after=now + timedelta(days=1),
            until=now + timedelta(days=2),
            limit=1_000,
        )

    [entry] = [e for e in seen if e["op"] == "query"]
    assert found == []
    assert entry["keysExamined"] <= STEPS * len(MINE)
    assert entry["docsExamined"] == 0


async def test_fairness_who_has_work_is_found_by_skipping(rig, filled):
    wiring, clients, now = filled
    async with profiled(rig) as seen:
        [(_, active)] = await wiring.results.active_clients_across_clients(
            [(EMAIL, Priority.NORMAL)], partitions=MINE, until=now
        )

    [entry] = [e for e in seen if "distinct" in e["command"]]
    keys, documents, plan = walked(entry)
    assert set(active) == set(clients)
    assert plan.startswith("DISTINCT_SCAN")
    # The first of each client in each partition, and one step beyond.
    assert keys <= len(MINE) * (2 * len(clients) + 1)
    assert documents == 0


async def test_fairness_the_schedulers_look_ahead_reads_what_it_returns(rig, filled):
    wiring, _, now = filled
    async with profiled(rig) as seen:
        found = await wiring.results.scheduled_across_clients(
            after=now + timedelta(seconds=10), until=now + timedelta(seconds=60), limit=100
        )

    [entry] = [e for e in seen if e["op"] == "query"]
    keys, documents, plan = walked(entry)
    assert len(found) == 100
    assert (keys, documents) <= (101, 100)
    assert plan.startswith("IXSCAN { due_at: 1 }")
    assert not entry.get("hasSortStage")


async def test_fairness_counts_of_a_batch_read_the_batch_alone(rig, filled):
    wiring, [client_id, *_], _ = filled
    async with profiled(rig) as seen:
        counts = await wiring.results.counts_of_batch(client_id, BATCH)

    [entry] = [e for e in seen if "aggregate" in e["command"]]
    keys, documents, plan = walked(entry)
    assert counts == [("scheduled", False, 200)]
    assert keys <= 201
    assert documents <= 200
    assert plan.startswith("IXSCAN { client_id: 1, batch_id: 1")


async def test_fairness_a_page_reads_a_page(rig, filled):
    wiring, [client_id, *_], _ = filled
    async with profiled(rig) as seen:
        page = await wiring.results.page(client_id, filters={}, before=None, limit=50)
        after = await wiring.results.page(client_id, filters={}, before=page[-1]["_id"], limit=50)
        batch = await wiring.results.of_batch(client_id, BATCH, after=None, limit=50)

    assert (len(page), len(after), len(batch)) == (50, 50, 50)
    entries = [e for e in seen if e["op"] == "query"]
    assert len(entries) == 3
    for entry in entries:
        keys, documents, plan = walked(entry)
        assert keys <= 51
        assert documents <= 50
        assert plan.startswith("IXSCAN")
        assert not entry.get("hasSortStage")


async def test_fairness_a_page_of_one_status_reads_no_more_than_the_client(rig, filled):
    wiring, [client_id, *_], _ = filled
    async with profiled(rig) as seen:
        page = await wiring.results.page(
            client_id, filters={"status": "delivered"}, before=None, limit=50
        )

    [entry] = [e for e in seen if e["op"] == "query"]
    assert page == []
    assert entry["planSummary"].startswith("IXSCAN")
    assert entry["keysExamined"] <= 1_400
