"""Each communication comes from the sender that its campaign and segment name, else the default."""

import base64
import re
from email import message_from_bytes

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cdp.domain.communication_request import Envelope
from cdp.domain.delivery_config import ConfigScope, DeliveryConfig
from cdp.domain.ids import text_of
from cdp.domain.sender import Identity
from cdp.providers.email.dkim import Signer, signing
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, accept_many, smtp_provider
from tests.integration.verification_world import request_of


async def test_the_narrowest_configuration_that_names_a_sender_counts(rig, smtp):
    wiring = rig.process("shard")
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    client, other = await rig.client(wiring), await rig.client(wiring)
    senders, configs = wiring.sender_service(), wiring.delivery_config_service()
    for name in ("spring", "vip"):
        identity = Identity(
            channel="email",
            address=f"{name}@example.org",
            display_name=name,
            reply_to=f"answers+{name}@example.org",
        )
        await senders.put(client.id, name, identity)
    for scope, name in (
        (ConfigScope(channel="email", campaign="spring"), "spring"),
        (ConfigScope(channel="email", campaign="spring", segment="vip"), "vip"),
    ):
        await configs.create(client.id, scope, DeliveryConfig(sender=name))
    wanted = {}
    for owner, fields, address in (
        (client, {}, "news@example.org"),
        (client, {"campaign": "spring"}, "spring@example.org"),
        (client, {"campaign": "spring", "segment": "vip"}, "vip@example.org"),
        (client, {"campaign": "autumn", "segment": "vip"}, "news@example.org"),
        (other, {"campaign": "spring"}, "news@example.org"),
    ):
        [item] = await accept_many(wiring, owner.id, 1, **fields)
        wanted[f"<{text_of(item.result_id)}@mail.example.org>"] = (item, address)

    await shard.settle([item for item, _ in wanted.values()])

    got = {m["Message-ID"]: m for m in (message_from_bytes(m.content) for m in smtp.messages)}
    for message_id, (_, address) in wanted.items():
        message = got[message_id]
        assert address in message["From"]
        is_plain = address == "news@example.org"
        assert message["Reply-To"] == (None if is_plain else f"answers+{address}")
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_request_that_says_where_answers_go_is_heard(rig, smtp):
    wiring = rig.process("shard")
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    client = await rig.client(wiring)
    identity = Identity(channel="email", address="a@example.org", reply_to="sender@example.org")
    await wiring.sender_service().put(client.id, "default", identity)
    envelope = Envelope(reply_to=("request@example.org", ""))
    items = await accept(wiring, [request_of(client.id, envelope=envelope)])

    await shard.settle(items)

    [message] = [message_from_bytes(m.content) for m in smtp.messages]
    assert message["Reply-To"] == "request@example.org"


async def test_e6_the_domain_that_a_sender_names_signs_what_is_from_it(rig, smtp):
    key = ed25519.Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)
    compose = signing(
        Signer(domain=domain, selector="s1", key=key)
        for domain in ("example.org", "mail.example.org")
    )
    wiring = rig.process("shard")
    worker = rig.worker(rig.process("worker"), smtp_provider(smtp, compose=compose))
    shard = LittleShard(wiring, worker)
    await shard.own_all()
    for domain in (None, "example.org"):
        client = await rig.client(wiring)
        identity = Identity(channel="email", address="a@mail.example.org", dkim_domain=domain)
        await wiring.sender_service().put(client.id, "default", identity)
        await shard.settle(await accept_many(wiring, client.id, 1))

    signed_for = []
    for message in smtp.messages:
        assert dkim.verify(message.content, dnsfunc=lambda *_, **__: record)
        signed_for.append(re.findall(rb" d=([^;]+);", message.content))
    assert signed_for == [[b"mail.example.org"], [b"example.org"]]
