"""Each channel goes its whole way, from the request to what speaks its provider's protocol."""

import base64
import json
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cdp.domain.communication_request import CommunicationRequest, Recipient
from cdp.domain.delivery_config import ConfigScope, DeliveryConfig
from cdp.domain.event import EventName, Status
from cdp.domain.ids import RequestId, ResultId
from cdp.domain.inbox import InboxUser
from cdp.domain.template import TemplateVersion
from cdp.storage.inbox import InboxEntries
from cdp.storage.templates import Templates
from cdp.testing.http_vendor import Got, HttpVendor, Reply, json_reply
from tests.conformance.http_rigs import pem_of
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, events_of, statuses
from tests.integration.verification_world import new_id

E = EventName
CHANNELS = ("sms", "push", "in_app", "webhook")
BROWSER = ec.generate_private_key(ec.SECP256R1())


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


KEYS = {
    "platform": "web",
    "p256dh": base64url(
        BROWSER.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    ),
    "auth": base64url(bytes(16)),
}


def request(client_id, channel, identifier, *, at, details=None, **fields):
    request_id = RequestId(new_id())
    recipient = Recipient(
        result_id=ResultId(request_id), identifier=identifier, details=details or {},
        data={"name": "Ada"}, locale=fields.pop("locale", None),
    )  # fmt: skip
    return CommunicationRequest(
        id=request_id, client_id=client_id, channel=channel, recipients=(recipient,),
        requested_at=at, **fields,
    )  # fmt: skip


def answering(got: Got) -> Reply:
    """A vendor of text messages, and whoever is posted to."""
    if got.path.endswith("/Messages.json"):
        return json_reply(201, {"sid": "SM1", "status": "queued"})
    return Reply(status=201)


@pytest.fixture
async def vendor():
    async with HttpVendor(answering, address_of=lambda got: got.path) as vendor:
        yield vendor


async def all_providers(wiring, client_id, vendor):
    """A provider of each channel, as a client sets it up; push has two, one for each platform."""
    service = wiring.provider_service()
    secret = f"whsec_{base64.b64encode(b's' * 32).decode()}"
    for name, kind, settings in (
        ("sms", "sms.twilio", {"account_sid": "AC1", "auth_token": "t", "base_url": vendor.url}),
        ("phones", "push.mailbox", {"base_url": vendor.url}),
        ("browsers", "push.web", {
            "vapid_private_key": pem_of(ec.generate_private_key(ec.SECP256R1())),
            "subject": "mailto:ops@shop.example",
        }),
        ("hooks", "webhook.standard", {"secret": secret}),
        ("inbox", "in_app.inbox", {}),
    ):  # fmt: skip
        await service.create(client_id, name=name, kind=kind, settings=settings)
    # The mailbox would take every platform, so the narrower one comes first.
    await wiring.delivery_config_service().create(
        client_id, ConfigScope(channel="push"), DeliveryConfig(providers=("browsers", "phones"))
    )


async def test_one_template_is_delivered_on_every_channel(rig, vendor):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await all_providers(wiring, client.id, vendor)
    templates = Templates(wiring.database)
    await templates.insert_version(
        TemplateVersion(
            id=new_id(), client_id=client.id, name="all",
            version=await templates.next_number(client.id, "all"),
            contents={
                "sms": {"*": {"text": "Hi {{ name }}"}, "de": {"text": "Hallo {{ name }}"}},
                "push": {"*": {"title": "Hi", "body": "{{ name }}"}},
                "in_app": {"*": {"title": "Hi {{ name }}", "body": "b", "action_url": "/x"}},
                "webhook": {"*": {"payload": '{"name": {{ name | tojson }}}'}},
            },
            created_at=wiring.clock.now(),
        )
    )  # fmt: skip
    at, same = wiring.clock.now(), {"template": "all"}
    requests = [
        request(client.id, "sms", "+4915100000000", at=at, locale="de-AT", **same),
        request(client.id, "push", vendor.url + "/push/1", at=at, details=KEYS, **same),
        request(client.id, "in_app", "user-1", at=at, **same),
        request(client.id, "webhook", vendor.url + "/hook", at=at, **same),
    ]
    items = await accept(wiring, requests)
    service = wiring.delivery_service(worker="worker", channel="sms")
    shard = LittleShard(wiring, service, channels=CHANNELS)
    await shard.own_all()

    await shard.settle(items)
    await service.close()

    assert await statuses(wiring, items) == {Status.DELIVERED: 4}
    got = {each.path.rpartition("/")[2]: each for each in vendor.got}
    assert parse_qs(got["Messages.json"].body.decode())["Body"] == ["Hallo Ada"]
    assert json.loads(got["hook"].body) == {"name": "Ada"}
    assert got["1"].headers["Content-Encoding"] == "aes128gcm"
    inbox = await InboxEntries(wiring.database).page(
        InboxUser(client_id=client.id, user="user-1"),
        unread=True,
        archived=False,
        before=None,
        limit=9,
        now=at,
    )
    assert [(entry.title, entry.action_url) for entry in inbox] == [("Hi Ada", "/x")]
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_device_gets_its_message_from_a_provider_of_its_platform(rig, vendor):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await all_providers(wiring, client.id, vendor)
    vendor.answering = lambda got: json_reply(200, {"id": "1"})
    at, content = wiring.clock.now(), {"title": "t", "body": "b"}
    [phone] = await accept(
        wiring,
        [request(client.id, "push", "x" * 20, at=at, details={"platform": "fcm"}, content=content)],
    )
    service = wiring.delivery_service(worker="worker", channel="push")
    shard = LittleShard(wiring, service, channels=["push"])
    await shard.own_all()

    await shard.settle([phone])
    await service.close()

    [attempt] = [e for e in await events_of(wiring, phone) if e.name is E.DELIVERY_ATTEMPTED]
    assert attempt.metadata["provider"] == "phones"


async def test_a_template_without_content_for_the_channel_is_said_so(rig, vendor):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await all_providers(wiring, client.id, vendor)
    await rig.template(wiring, client.id, "email-only", subject="s", text="t")
    at = wiring.clock.now()
    [item] = await accept(wiring, [request(client.id, "in_app", "u", at=at, template="email-only")])
    service = wiring.delivery_service(worker="worker", channel="in_app")
    shard = LittleShard(wiring, service, channels=["in_app"])
    await shard.own_all()

    await shard.settle([item])
    await service.close()

    last = (await events_of(wiring, item))[-1]
    assert (last.name, last.metadata["reason"]) == (E.UNDELIVERABLE, "template_unfit")
