"""A provider of somebody else's package delivers, and a broken one is in nobody's way."""

from pathlib import Path

import orjson
import pytest

from cdp.domain.delivery_config import ConfigScope, DeliveryConfig
from cdp.domain.event import EventName, Status
from cdp.testing.http_vendor import Got, HttpVendor, Reply, json_reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, events_of, statuses
from tests.integration.rules.test_every_channel_is_delivered import request
from tests.packages import install, install_acme, on_the_path

E = EventName
PROPER = """
from acme_sms import AcmeSms as Provider
"""
RAISES = "raise RuntimeError"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_acme(tmp_path_factory.mktemp("package"))


def acme(got: Got) -> Reply:
    if got.headers.get("Authorization") != "Bearer right":
        return json_reply(401, {"code": "who"})
    return json_reply(202, {"id": f"for-{orjson.loads(got.body)['to']}"})


@pytest.fixture
async def vendor():
    async with HttpVendor(acme, address_of=lambda got: orjson.loads(got.body)["to"]) as vendor:
        yield vendor


async def account(wiring, client_id, vendor, *, name="acme", kind="sms.acme"):
    settings = {"token": "right", "base_url": vendor.url}
    await wiring.provider_service().create(client_id, name=name, kind=kind, settings=settings)


async def sms(wiring, client_id, *numbers):
    at = wiring.clock.now()
    content = {"text": "Hello"}
    return await accept(
        wiring, [request(client_id, "sms", n, at=at, content=content) for n in numbers]
    )


async def settle(wiring, items):
    service = wiring.delivery_service(worker="worker", channel="sms")
    shard = LittleShard(wiring, service, channels=["sms"])
    await shard.own_all()
    await shard.settle(items)
    await service.close()


async def told(wiring, item, name):
    return [e.metadata for e in await events_of(wiring, item) if e.name is name]


async def test_it_delivers_gives_up_and_tries_again(rig, vendor, site):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    taken, refused, busy = "+4915100000001", "+4915100000002", "+4915100000003"
    vendor.on(refused, json_reply(422, {"code": "bad_number"}))
    answers = [Reply(status=503), json_reply(202, {"id": "late"})]

    def first_busy(got: Got) -> Reply:
        return answers.pop(0) if orjson.loads(got.body)["to"] == busy else acme(got)

    vendor.answering = first_busy
    with on_the_path(site):
        await account(wiring, client.id, vendor)
        items = await sms(wiring, client.id, taken, refused, busy)
        await settle(wiring, items)

    assert await statuses(wiring, items) == {Status.DELIVERED: 2, Status.UNDELIVERABLE: 1}
    [delivered] = await told(wiring, items[0], E.DELIVERY_SUCCEEDED)
    assert delivered["provider_message_id"] == f"for-{taken}"
    [failed] = await told(wiring, items[1], E.DELIVERY_FAILED)
    assert (failed["code"], failed["reason"]) == ("422 bad_number", "address")
    [failed] = await told(wiring, items[2], E.DELIVERY_FAILED)
    assert (failed["code"], failed["reason"]) == ("503", "transient")
    attempts = await told(wiring, items[2], E.DELIVERY_ATTEMPTED)
    assert [attempt["provider"] for attempt in attempts] == ["acme", "acme"]
    assert (await rig.verify(settled=True)).violations == ()


async def test_one_that_can_not_be_imported_any_more_stops_nothing_else(
    rig, vendor, site, tmp_path
):
    wiring = rig.process("shard")
    client, other = await rig.client(wiring), await rig.client(wiring)
    proper = install(tmp_path / "proper", "broken", {"sms.broken": "broken:Provider"}, PROPER)
    broken = install(tmp_path / "broken", "broken", {"sms.broken": "broken:Provider"}, RAISES)
    with on_the_path(site, proper):
        await account(wiring, client.id, vendor, name="first", kind="sms.broken")
    with on_the_path(site, broken):
        await account(wiring, client.id, vendor, name="second")
        await account(wiring, other.id, vendor)
        await wiring.delivery_config_service().create(
            client.id, ConfigScope(channel="sms"), DeliveryConfig(providers=("first", "second"))
        )
        items = await sms(wiring, client.id, "+4915100000001")
        items += await sms(wiring, other.id, "+4915100000002")
        await settle(wiring, items)

    assert await statuses(wiring, items) == {Status.DELIVERED: 2}
    [attempt] = await told(wiring, items[0], E.DELIVERY_ATTEMPTED)
    assert attempt["provider"] == "second"
