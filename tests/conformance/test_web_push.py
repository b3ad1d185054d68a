"""`WebPush` against a push service on a real socket; the browser's key reads what it sends."""

import base64

import http_ece
import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from cdp.ports.provider import FailureClass, PushMessage, PushPlatform, Rejected
from cdp.providers.push.web import WebPush, WebPushSettings
from cdp.testing.http_provider_conformance import (
    HttpProviderConformance,
    HttpProviderRig,
    Refusal,
    outcomes_of,
)
from cdp.testing.http_vendor import HttpVendor, Reply
from tests.conformance.http_rigs import GUARDED, NEAR, fields_of, pem_of

VAPID = ec.generate_private_key(ec.SECP256R1())
BROWSER = ec.generate_private_key(ec.SECP256R1())
SECRET = bytes(range(16))


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


SETTINGS = {
    "vapid_private_key": pem_of(VAPID),
    "subject": "mailto:ops@shop.example",
    "timeout_s": 2.0,
    "connections_max": 4,
}
REFUSALS = {
    400: FailureClass.PERMANENT, 401: FailureClass.CONFIG, 403: FailureClass.CONFIG,
    404: FailureClass.ADDRESS, 410: FailureClass.ADDRESS, 413: FailureClass.CONTENT,
    429: FailureClass.THROTTLED, 500: FailureClass.TRANSIENT, 503: FailureClass.TRANSIENT,
}  # fmt: skip


class TestWebPush(HttpProviderConformance):
    @pytest.fixture
    async def rig(self):
        async with HttpVendor(lambda _: Reply(status=201), address_of=lambda g: g.path) as vendor:
            rig = HttpProviderRig(
                vendor=vendor,
                provider=WebPush.open(WebPushSettings(**SETTINGS), NEAR),
                message_to=lambda path, **changes: PushMessage(
                    **({"platform": PushPlatform.WEB} | fields_of(path, **changes)),
                    token=vendor.url + path,
                    p256dh=base64url(point_of(BROWSER)),
                    auth=base64url(SECRET),
                    title="Hi",
                    body="There",
                    data={"order": "7"},
                ),
                addresses=lambda n: f"/push/{n}",
                connections_max=4,
                refusals=[
                    Refusal(reply=Reply(status=s), failure=f, code=str(s))
                    for s, f in REFUSALS.items()
                ],
                # The encryption takes a fresh key each time; the topic is what joins the two.
                same_in_a_repeat=lambda got: got.headers["Topic"],
                any_success_is_taken=True,
            )
            yield rig
            await rig.provider.close()

    async def test_the_browser_reads_what_was_sent(self, rig):
        await outcomes_of(rig.provider, rig.messages(1))
        [got] = rig.vendor.got

        read = http_ece.decrypt(got.body, private_key=BROWSER, auth_secret=SECRET)

        assert orjson.loads(read) == {"title": "Hi", "body": "There", "data": {"order": "7"}}
        assert (got.headers["Content-Encoding"], got.headers["TTL"]) == ("aes128gcm", "86400")
        assert b"There" not in got.body

    async def test_the_push_service_knows_who_sends(self, rig):
        await outcomes_of(rig.provider, rig.messages(2))
        scheme, _, rest = rig.vendor.got[0].headers["Authorization"].partition(" ")
        given = dict(part.strip().split("=", 1) for part in rest.split(","))

        claims = jwt.decode(
            given["t"], VAPID.public_key(), algorithms=["ES256"], audience=rig.vendor.url
        )

        assert scheme == "vapid"
        assert claims["sub"] == "mailto:ops@shop.example"
        assert given["k"] == base64url(point_of(VAPID))

    async def test_keys_that_are_none_are_the_addresss_fault(self, rig):
        bad = PushMessage(
            **fields_of("x"), platform=PushPlatform.WEB, token=rig.vendor.url + "/push/x",
            p256dh=base64url(b"\x04" + bytes(64)), auth=base64url(SECRET), title="t", body="b",
        )  # fmt: skip

        [outcome] = await outcomes_of(rig.provider, [bad])

        assert outcome == Rejected(failure=FailureClass.ADDRESS, code="subscription_invalid")


async def test_a7_an_endpoint_in_a_private_network_is_not_called():
    provider = WebPush.open(WebPushSettings(**SETTINGS), GUARDED)
    message = PushMessage(
        **fields_of("x"), platform=PushPlatform.WEB, token="https://127.0.0.1/push",
        p256dh=base64url(point_of(BROWSER)), auth=base64url(SECRET), title="t", body="b",
    )  # fmt: skip

    [outcome] = await outcomes_of(provider, [message])
    await provider.close()

    assert outcome == Rejected(failure=FailureClass.ADDRESS, code="target_forbidden")


@pytest.mark.parametrize("key", ["", "no key", pem_of(ec.generate_private_key(ec.SECP384R1()))])
def test_a_key_that_is_none_is_refused(key):
    with pytest.raises(ValidationError):
        WebPushSettings(**(SETTINGS | {"vapid_private_key": key}))
