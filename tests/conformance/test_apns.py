"""`ApnsPush` against a server of HTTP/2 that answers as Apple's documentation says."""

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cdp.ports.provider import FailureClass, PushMessage, PushPlatform, Rejected
from cdp.providers.push.apns import FAILURES, ApnsPush, ApnsSettings
from cdp.testing.http2_vendor import Http2Vendor, self_signed
from cdp.testing.http_provider_conformance import (
    HttpProviderConformance,
    HttpProviderRig,
    Refusal,
    outcomes_of,
)
from cdp.testing.http_vendor import Got, Reply, json_reply
from tests.conformance.http_rigs import NEAR, fields_of, pem_of

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())

STATUSES = {
    FailureClass.ADDRESS: 400, FailureClass.CONTENT: 400, FailureClass.CONFIG: 403,
    FailureClass.THROTTLED: 429, FailureClass.TRANSIENT: 503,
}  # fmt: skip


def apple(got: Got) -> Reply:
    """The service, for what is right about a request."""
    token = got.headers["authorization"].removeprefix("bearer ")
    try:
        claims = jwt.decode(token, KEY.public_key(), algorithms=["ES256"])
    except jwt.PyJWTError:
        return json_reply(403, {"reason": "InvalidProviderToken"})
    assert (claims["iss"], jwt.get_unverified_header(token)["kid"]) == ("TEAM123456", "KEY1234567")
    assert got.headers["apns-topic"] == "com.example.shop"
    return Reply(headers={"apns-id": got.headers["apns-id"]})


def refusals():
    for reason, failure in FAILURES.items():
        status = STATUSES[failure]
        reply = json_reply(status, {"reason": reason})
        yield Refusal(reply=reply, failure=failure, code=f"{status} {reason}")
    gone = json_reply(410, {"reason": "Unregistered", "timestamp": 1454402113})
    yield Refusal(reply=gone, failure=FailureClass.ADDRESS, code="410 Unregistered")
    yield Refusal(reply=Reply(status=500), failure=FailureClass.TRANSIENT, code="500")


class TestApnsPush(HttpProviderConformance):
    @pytest.fixture
    async def rig(self, tmp_path):
        certificate, key = self_signed(tmp_path)
        async with Http2Vendor(
            apple,
            address_of=lambda got: got.path.rpartition("/")[2],
            certificate=certificate,
            key=key,
        ) as vendor:

            def provider(private_key):
                settings = ApnsSettings(
                    team_id="TEAM123456",
                    key_id="KEY1234567",
                    private_key=pem_of(private_key),
                    topic="com.example.shop",
                    base_url=vendor.url,
                    ca_file=str(certificate),
                    timeout_s=2.0,
                    concurrency=8,
                )
                return ApnsPush.open(settings, NEAR)

            rig = HttpProviderRig(
                vendor=vendor,
                provider=provider(KEY),
                message_to=lambda token, **changes: PushMessage(
                    **({"platform": PushPlatform.APNS} | fields_of(token, **changes)),
                    token=token,
                    title="Hi",
                    body="There",
                    data={"order": "7"},
                    collapse_key="order-7",
                ),
                addresses=lambda n: f"{n:064x}",
                connections_max=1,
                refusals=list(refusals()),
                same_in_a_repeat=lambda got: (
                    got.body,
                    got.headers["apns-id"],
                    got.headers["apns-collapse-id"],
                ),
                with_wrong_credentials=provider(OTHER),
                any_success_is_taken=True,
            )
            yield rig
            await rig.provider.close()

    async def test_e12_many_messages_carry_one_token(self, rig: HttpProviderRig):
        await outcomes_of(rig.provider, rig.messages(30))

        assert len({got.headers["authorization"] for got in rig.vendor.got}) == 1

    async def test_e12_a_token_that_has_expired_is_made_anew(self, rig: HttpProviderRig):
        rig.vendor.on(rig.addresses(0), json_reply(403, {"reason": "ExpiredProviderToken"}))
        await outcomes_of(rig.provider, rig.messages(1))
        [outcome] = await outcomes_of(rig.provider, rig.messages(1, first=1))

        tokens = [got.headers["authorization"] for got in rig.vendor.got]
        assert type(outcome).__name__ == "Accepted"
        assert tokens[0] != tokens[1]

    async def test_the_notification_is_as_apple_takes_it(self, rig: HttpProviderRig):
        await outcomes_of(rig.provider, [rig.message_to(rig.addresses(0), is_urgent=True)])
        [got] = rig.vendor.got

        assert orjson.loads(got.body) == {
            "order": "7",
            "aps": {"alert": {"title": "Hi", "body": "There"}, "sound": "default"},
        }
        assert (got.headers["apns-priority"], got.headers["apns-push-type"]) == ("10", "alert")

    async def test_a_device_of_another_platform_is_our_configuration(self, rig: HttpProviderRig):
        other = rig.message_to(rig.addresses(0), platform=PushPlatform.FCM)

        [outcome] = await outcomes_of(rig.provider, [other])

        assert outcome == Rejected(failure=FailureClass.CONFIG, code="other_platform")
