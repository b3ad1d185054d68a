"""What is for later waits in `due_at`, however often leases lapse meanwhile (D12)."""

from datetime import timedelta

from cdp.domain.event import EventName, Status
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    accept,
    as_stored,
    events_of,
    names_of,
    smtp_provider,
    taken,
)
from tests.integration.verification_world import request_of
from tests.waiting import eventually

E = EventName
LEASE_S = 0.5


async def test_d12_what_is_due_in_three_leases_is_sent_once_and_not_before(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    send_at = wiring.clock.now() + timedelta(seconds=3 * LEASE_S)
    items = await accept(wiring, [request_of(client.id, send_at=send_at) for _ in range(20)])
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp), lease_s=LEASE_S)
    scheduler = rig.process("scheduler").scheduling_service()
    shard = LittleShard(wiring, worker)
    await shard.own_all()
    await shard.step()
    assert {(await as_stored(wiring, item)).status for item in items} == {Status.SCHEDULED}
    await scheduler.look_ahead()
    assert scheduler.waiting() == 20
    # A hint that is doubled, and much too early, changes nothing.
    shard.state.hint(items)
    await shard.step()
    assert smtp.messages == []

    async def due():
        shard.state.hint(scheduler.take_due())
        await shard.step()
        return len(smtp.messages) == 20

    await eventually(due, within_s=10)
    await shard.settle(items)

    assert [taken(smtp, item) for item in items] == [1] * 20
    for item in items:
        [attempt] = [e for e in await events_of(wiring, item) if e.name is E.DELIVERY_ATTEMPTED]
        assert attempt.at >= send_at
        assert (await names_of(wiring, item)).count(E.SCHEDULED) == 1
    assert (await rig.verify(settled=True)).violations == ()


async def test_d12_a_scheduler_that_forgot_everything_is_made_up_for_by_the_poll(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    send_at = wiring.clock.now() + timedelta(seconds=0.5)
    items = await accept(wiring, [request_of(client.id, send_at=send_at) for _ in range(5)])
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()

    await shard.settle(items)

    assert [taken(smtp, item) for item in items] == [1] * 5
    assert (await rig.verify(settled=True)).violations == ()
