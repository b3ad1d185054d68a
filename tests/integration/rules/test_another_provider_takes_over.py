"""Failover: where one provider is in trouble the next one of the configuration takes over."""

from collections import Counter

from cdp.domain.delivery_config import ConfigScope, DeliveryConfig
from cdp.domain.event import EventName, Status
from cdp.testing.smtp_server import SmtpServer
from cdp.testing.smtp_session import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept_many, events_of, statuses
from tests.waiting import eventually

E = EventName

EMAIL = ConfigScope(channel="email")


async def two_servers(wiring, client_id, first: SmtpServer, second: SmtpServer, **config):
    """Two mail servers, to be tried in this order."""
    for name, server in (("first", first), ("second", second)):
        settings = {"host": server.host, "port": server.port, "security": "none"}
        await wiring.provider_service().create(
            client_id, name=name, kind="email.smtp", settings=settings
        )
    await wiring.delivery_config_service().set(
        client_id, EMAIL, DeliveryConfig(providers=("first", "second"), **config)
    )


async def attempts_of(wiring, item):
    """By whom, in order."""
    events = await events_of(wiring, item)
    return [e.metadata["provider"] for e in events if e.name is E.DELIVERY_ATTEMPTED]


async def test_while_the_first_is_down_the_second_delivers_at_once(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring, backoff_initial_s=3_600, backoff_cap_s=3_600)
    async with SmtpServer() as down:
        await two_servers(wiring, client.id, down, smtp)
        down.refuse_connections()
        items = await accept_many(wiring, client.id, 60)
        service = wiring.delivery_service(worker="worker", channel="email")
        shard = LittleShard(wiring, service, batch=10)
        await shard.own_all()

        # An hour's backoff would never end here: the other provider is tried without one.
        await shard.settle(items)
        states = service.breakers()
        await service.close()

    assert await statuses(wiring, items) == {Status.DELIVERED: 60}
    assert len(smtp.messages) == 60
    tried = Counter([tuple(await attempts_of(wiring, item)) for item in items])
    assert set(tried) <= {("first", "second"), ("second",)}
    # Once its breaker is open, nobody goes by the first any more.
    assert tried["second",] >= 40
    assert states == {"first": "open", "second": "closed"}
    assert (await rig.verify(settled=True)).violations == ()


async def test_what_is_the_recipients_own_fault_is_not_tried_with_another(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    async with SmtpServer() as second:
        await two_servers(wiring, client.id, smtp, second)
        smtp.on(Phase.RCPT, reply("550 5.1.1 Unknown"))
        [item] = await accept_many(wiring, client.id, 1)
        service = wiring.delivery_service(worker="worker", channel="email")
        shard = LittleShard(wiring, service)
        await shard.own_all()

        await shard.settle([item])
        await service.close()

        assert await attempts_of(wiring, item) == ["first"]
        assert second.messages == []


async def test_where_all_fail_they_take_turns_until_the_attempts_are_spent(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    async with SmtpServer() as second:
        await two_servers(wiring, client.id, smtp, second, attempts_max=5)
        for server in (smtp, second):
            server.on(Phase.RCPT, reply("451 4.3.0 Later"))
        [item] = await accept_many(wiring, client.id, 1)
        service = wiring.delivery_service(worker="worker", channel="email")
        shard = LittleShard(wiring, service)
        await shard.own_all()

        await shard.settle([item])
        await service.close()

    assert await attempts_of(wiring, item) == ["first", "second", "first", "second", "first"]
    assert await statuses(wiring, [item]) == {Status.UNDELIVERABLE: 1}


async def test_a_campaign_may_have_a_provider_of_its_own(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    async with SmtpServer() as bulk:
        await two_servers(wiring, client.id, smtp, bulk)
        await wiring.delivery_config_service().create(
            client.id,
            ConfigScope(channel="email", campaign="spring"),
            DeliveryConfig(providers=("second",)),
        )
        mine = await accept_many(wiring, client.id, 3, campaign="spring")
        rest = await accept_many(wiring, client.id, 2)
        service = wiring.delivery_service(worker="worker", channel="email")
        shard = LittleShard(wiring, service)
        await shard.own_all()

        await shard.settle([*mine, *rest])
        await service.close()

        assert (len(bulk.messages), len(smtp.messages)) == (3, 2)


async def test_without_a_provider_that_is_there_messages_wait_and_a_new_one_takes_them(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    settings = {"host": smtp.host, "port": smtp.port, "security": "none"}
    providers = wiring.provider_service()
    await providers.create(client.id, name="mail", kind="email.smtp", settings=settings)
    await providers.replace(client.id, "mail", settings=settings, is_enabled=False, seen=None)
    await wiring.delivery_config_service().set(
        client.id, EMAIL, DeliveryConfig(providers=("mail",))
    )
    items = await accept_many(wiring, client.id, 3)
    service = wiring.delivery_service(worker="worker", channel="email")
    shard = LittleShard(wiring, service)
    await shard.own_all()
    await eventually(lambda: _queued(wiring, shard, items), within_s=10)

    await providers.replace(client.id, "mail", settings=settings, is_enabled=True, seen=None)
    await shard.settle(items)
    await service.close()

    assert await statuses(wiring, items) == {Status.DELIVERED: 3}
    assert {tuple(await attempts_of(wiring, item)) for item in items} == {("mail",)}


async def _queued(wiring, shard, items):
    """Whether all have been handed off, and none was attempted."""
    await shard.step()
    for item in items:
        names = [event.name for event in await events_of(wiring, item)]
        assert E.DELIVERY_ATTEMPTED not in names
        if E.QUEUED not in names:
            return False
    return True
