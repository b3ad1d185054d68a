"""A batch is claimed by one insert that says who lost; a cut connection doubles nothing (D5)."""

import asyncio
import random

import pytest

from cdp.domain.event import EventName
from cdp.services.communication_service import Move
from tests.integration.rules.rig import accept_many, events_of, insisting

E = EventName
ROUNDS = 6
ITEMS = 100


async def queued(wiring, client_id):
    """Items that wait for a worker."""
    items = await accept_many(wiring, client_id, ITEMS)
    resolved = await wiring.message_service().resolve(items)
    metadata = {"queue": "email.default", "epoch": 1, "due_at": wiring.clock.now()}
    moves = [Move(item=r.item, name=E.QUEUED, metadata=metadata) for r in resolved]
    return [item for item in await wiring.communications.advance(moves) if item]


async def claim(worker, items):
    """What this worker has won, however often it had to ask."""
    order = random.sample(items, len(items))
    metadata = {"attempt": 1, "due_at": worker.clock.now(), "worker": worker.component}
    moves = [Move(item=i, name=E.DELIVERY_ATTEMPTED, metadata=metadata) for i in order]
    ticket = worker.communications.ticket()

    async def once():
        return await worker.communications.advance(moves, ticket=ticket)

    after = await insisting(once)
    return {item.result_id for item in after if item}


FAULTS: dict[str, dict[str, object]] = {
    "cut": {"closeConnection": True},
    "retryable": {"errorCode": 189, "errorLabels": ["RetryableWriteError"]},
    "unsure": {
        "writeConcernError": {"code": 64, "errmsg": "timed out", "errInfo": {"wtimeout": True}}
    },
    "interrupted": {"errorCode": 11_602},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_d5_what_two_workers_win_is_disjoint_and_together_all(rig, fault):
    workers = [rig.process("worker-a"), rig.process("worker-b")]
    client = await rig.client(workers[0])
    rounds = []
    for _ in range(ROUNDS):
        items = await queued(workers[0], client.id)
        mode = {"activationProbability": 0.35}
        async with rig.failing(["insert"], mode=mode, **FAULTS[fault]):
            won = await asyncio.gather(*(claim(worker, items) for worker in workers))
        rounds.append((items, won))

    for items, (ours, theirs) in rounds:
        assert not ours & theirs
        assert ours | theirs == {item.result_id for item in items}
        for item in items[:10]:
            [event] = [
                e for e in await events_of(workers[0], item) if e.name is E.DELIVERY_ATTEMPTED
            ]
            winner = workers[0] if item.result_id in ours else workers[1]
            assert event.writer.startswith(winner.incarnation)
    assert (await rig.verify()).violations == ()


async def test_d5_what_was_applied_before_the_cut_is_known_for_ours(rig):
    worker, rival = rig.process("worker-a"), rig.process("worker-b")
    client = await rig.client(worker)
    items = await queued(rival, client.id)
    lost = await claim(rival, items[:30])

    # The first insert is applied and its answer lost; so is every repeat of it.
    applied = {"closeConnection": True}
    async with rig.failing(["insert"], app="worker-a", mode={"skip": 1}, closeConnection=True):
        await rig.failpoint("onPrimaryTransactionalWrite", {"times": 1}, applied)
        won = await claim(worker, items)

    assert lost == {item.result_id for item in items[:30]}
    assert won == {item.result_id for item in items[30:]}
    assert (await rig.verify()).violations == ()


async def test_d5_a_mark_is_no_other_processes(rig):
    marks = set()
    for _ in range(3):
        wiring = rig.process("worker-a")
        marks |= {wiring.communications.ticket().mark for _ in range(3)}

    assert len(marks) == 9
