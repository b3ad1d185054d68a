"""A worker that has its hands full puts nothing off: the rest is handed over in a moment."""

from cdp.domain.event import EventName, Status
from cdp.testing.smtp_session import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept_many, events_of, smtp_provider, statuses

E = EventName


async def test_what_is_too_much_for_a_worker_is_neither_put_off_nor_lost(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    smtp.on(Phase.DOT, reply("250 2.0.0 Kept", delay_s=0.05))
    items = await accept_many(wiring, client.id, 60)
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp), in_flight_max=5)
    shard = LittleShard(wiring, worker, batch=20)
    await shard.own_all()

    await shard.settle(items, within_s=30)

    assert await statuses(wiring, items) == {Status.DELIVERED: 60}
    for item in items:
        names = [event.name for event in await events_of(wiring, item)]
        assert E.SCHEDULED not in names
        assert names.count(E.DELIVERY_ATTEMPTED) == 1
