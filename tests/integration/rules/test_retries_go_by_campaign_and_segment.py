"""Each communication is retried by the policy of its client, channel, campaign and segment."""

from collections import Counter

from cdp.domain.delivery_config import ConfigScope, DeliveryConfig
from cdp.domain.event import EventName, Status
from cdp.testing.smtp_session import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept_many, events_of, smtp_provider, statuses

E = EventName
EACH = 5


async def test_the_narrowest_policy_decides_how_often_a_message_is_tried(rig, smtp):
    wiring = rig.process("shard")
    configs = wiring.delivery_config_service()
    client = await rig.client(wiring, attempts_max=3)
    other = await rig.client(wiring, attempts_max=2)
    for scope, attempts in (
        (ConfigScope(campaign="spring"), 4),
        (ConfigScope(campaign="spring", segment="vip"), 6),
        (ConfigScope(segment="vip"), 5),
    ):
        await configs.create(client.id, scope, DeliveryConfig(attempts_max=attempts))
    expected = {}
    for owner, named, attempts in (
        (client, {}, 3),
        (client, {"campaign": "autumn"}, 3),
        (client, {"campaign": "spring"}, 4),
        (client, {"campaign": "spring", "segment": "vip"}, 6),
        (client, {"campaign": "spring", "segment": "new"}, 4),
        (client, {"segment": "vip"}, 5),
        (other, {"campaign": "spring", "segment": "vip"}, 2),
    ):
        for item in await accept_many(wiring, owner.id, EACH, **named):
            expected[item] = attempts
    smtp.on(Phase.RCPT, reply("451 4.3.0 Later"))
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()

    await shard.settle(list(expected), within_s=30)

    assert await statuses(wiring, list(expected)) == {Status.UNDELIVERABLE: len(expected)}
    for item, attempts in expected.items():
        names = Counter(event.name for event in await events_of(wiring, item))
        assert names[E.DELIVERY_ATTEMPTED] == attempts, (item.campaign, item.segment)
    assert shard.bugs == []
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_policy_can_say_what_is_not_retried(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await wiring.delivery_config_service().create(
        client.id, ConfigScope(campaign="now or never"), DeliveryConfig(retry_on=())
    )
    [hasty] = await accept_many(wiring, client.id, 1, campaign="now or never")
    [patient] = await accept_many(wiring, client.id, 1)
    smtp.on(Phase.RCPT, reply("451 4.3.0 Later"), times=2)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()

    await shard.settle([hasty, patient])

    last = (await events_of(wiring, hasty))[-1]
    assert (last.name, last.metadata["reason"]) == (E.UNDELIVERABLE, "transient")
    assert (await events_of(wiring, patient))[-1].name is E.DELIVERY_SUCCEEDED
