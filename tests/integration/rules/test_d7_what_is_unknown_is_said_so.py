"""An attempt without an answer is unknown; a repeat is the same message (D7)."""

from datetime import timedelta

from cdp.domain.event import WORKER_LOST, EventName, Status
from cdp.domain.ids import text_of
from cdp.services.communication_service import Move
from cdp.testing.smtp_server import DROP, Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    accept_many,
    as_stored,
    events_of,
    smtp_provider,
    statuses,
    taken,
    write_ledger,
)

E = EventName


async def test_d7_taken_and_dropped_before_250_is_repeated_as_the_same_bytes(rig, smtp, tmp_path):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 10)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    smtp.on(Phase.DOT, DROP, times=3)

    await shard.settle(items)

    assert await statuses(wiring, items) == {Status.DELIVERED: 10}
    twice = [item for item in items if taken(smtp, item) == 2]
    assert len(twice) == 3
    for item in twice:
        name = text_of(item.result_id).encode()
        [first, second] = [m.content for m in smtp.messages if name in m.content]
        assert first == second
        [failed] = [e for e in await events_of(wiring, item) if e.name is E.DELIVERY_FAILED]
        assert failed.metadata["outcome"] == "unknown"
    ledger = write_ledger(tmp_path / "taken", smtp)
    verification = await rig.verify(settled=True, provider_ledger=ledger)
    assert verification.violations == ()
    assert (verification.unknown_outcomes, verification.doubles) == (3, 3)


async def claimed_by_one_that_vanished(wiring, shard, items):
    """The claim is all that is left of a worker."""
    queued, _ = await shard.queueing.prepare(items, epochs=await shard.own_all())
    lapsed = wiring.clock.now() - timedelta(milliseconds=1)
    metadata = {"attempt": 1, "due_at": lapsed, "worker": "gone"}
    moves = [Move(item=i, name=E.DELIVERY_ATTEMPTED, metadata=metadata) for i in queued]
    assert all(await wiring.communications.advance(moves))


async def test_d7_a_lapsed_lease_is_an_unknown_outcome_and_is_tried_again(rig, smtp, tmp_path):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 5)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await claimed_by_one_that_vanished(wiring, shard, items)

    await shard.settle(items)

    assert await statuses(wiring, items) == {Status.DELIVERED: 5}
    for item in items:
        [failed] = [e for e in await events_of(wiring, item) if e.name is E.DELIVERY_FAILED]
        assert (failed.metadata["outcome"], failed.metadata["code"]) == ("unknown", WORKER_LOST)
        assert (await as_stored(wiring, item)).attempt == 2
    ledger = write_ledger(tmp_path / "taken", smtp)
    assert (await rig.verify(settled=True, provider_ledger=ledger)).violations == ()


async def test_d7_who_wants_no_double_has_what_is_unknown_closed(rig, smtp, tmp_path):
    wiring = rig.process("shard")
    client = await rig.client(wiring, at_least_once=False)
    lost = await accept_many(wiring, client.id, 3)
    dropped = await accept_many(wiring, client.id, 2)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await claimed_by_one_that_vanished(wiring, shard, lost)
    smtp.on(Phase.DOT, DROP)

    await shard.settle(lost + dropped)

    for item in lost + dropped:
        stored = await as_stored(wiring, item)
        assert (stored.status, stored.reason) == (Status.UNDELIVERABLE, "outcome_unknown")
        assert stored.attempt == 1
    assert [taken(smtp, item) for item in lost + dropped] == [0, 0, 0, 1, 1]
    ledger = write_ledger(tmp_path / "taken", smtp)
    assert (await rig.verify(settled=True, provider_ledger=ledger)).violations == ()


async def test_d7_an_answer_that_takes_longer_than_the_lease_keeps_it(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 4)
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp), lease_s=0.6, answer_s=0.1)
    shard = LittleShard(wiring, worker)
    await shard.own_all()
    smtp.on(Phase.DOT, reply("250 2.0.0 At last", delay_s=2.0))

    await shard.settle(items)

    assert [taken(smtp, item) for item in items] == [1] * 4
    verification = await rig.verify(settled=True)
    assert verification.violations == ()
    assert verification.unknown_outcomes == 0


async def test_d7_an_answer_that_is_known_is_recorded_whatever_mongodb_says_at_first(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 20)
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp), lease_s=1.5, answer_s=0.1)
    shard = LittleShard(wiring, worker)
    await shard.own_all()

    # The claim comes through; the first outcomes meet an operator's killOp.
    mode = {"skip": 1}
    async with rig.failing(["insert"], app="worker", mode=mode, errorCode=11_601):
        await shard.step()
        await smtp.received(len(items))
    await shard.settle(items)

    assert [taken(smtp, item) for item in items] == [1] * len(items)
    verification = await rig.verify(settled=True)
    assert (verification.violations, verification.unknown_outcomes) == ((), 0)
