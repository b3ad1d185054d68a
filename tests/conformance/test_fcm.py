"""`FcmPush` against a server that answers as Google's documentation says."""

from urllib.parse import parse_qs

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from cdp.ports.provider import FailureClass, PushMessage, PushPlatform, Rejected
from cdp.providers.push.fcm import FAILURES, GRANT, FcmPush, FcmSettings
from cdp.testing.http_provider_conformance import (
    HttpProviderConformance,
    HttpProviderRig,
    Refusal,
    outcomes_of,
)
from cdp.testing.http_vendor import Got, HttpVendor, Reply, json_reply
from tests.conformance.http_rigs import NEAR, fields_of, pem_of

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EMAIL = "sender@project.iam.gserviceaccount.com"


class Google:
    """The token endpoint and the API, for what is right about a request."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.port = 0

    def __call__(self, got: Got) -> Reply:
        return self._token(got) if got.path == "/token" else self._send(got)

    def _token(self, got: Got) -> Reply:
        form = {name: values[0] for name, values in parse_qs(got.body.decode()).items()}
        try:
            claims = jwt.decode(
                form["assertion"], KEY.public_key(), algorithms=["RS256"],
                audience=f"http://127.0.0.1:{self.port}/token", issuer=EMAIL,
            )  # fmt: skip
        except jwt.PyJWTError:
            return json_reply(400, {"error": "invalid_grant"})
        assert form["grant_type"] == GRANT
        assert claims["exp"] - claims["iat"] == 3_600
        self.tokens.append(f"token-{len(self.tokens)}")
        return json_reply(200, {"access_token": self.tokens[-1], "expires_in": 3_599})

    def _send(self, got: Got) -> Reply:
        if got.headers.get("Authorization") != f"Bearer {self.tokens[-1]}":
            return json_reply(401, {"error": {"status": "UNAUTHENTICATED"}})
        assert got.path == "/v1/projects/shop-1/messages:send"
        return json_reply(200, {"name": "projects/shop-1/messages/0:1"})


def token_of(got: Got) -> str:
    return orjson.loads(got.body)["message"]["token"] if got.path != "/token" else ""


def error(status: int, code: str, **headers: str) -> Reply:
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    body = {"error": {"code": status, "status": "X", "details": details}}
    return json_reply(status, body, **headers)


STATUSES = {
    "UNREGISTERED": 404, "INVALID_ARGUMENT": 400, "SENDER_ID_MISMATCH": 403, "QUOTA_EXCEEDED": 429,
    "UNAVAILABLE": 503, "INTERNAL": 500, "THIRD_PARTY_AUTH_ERROR": 403, "PERMISSION_DENIED": 403,
}  # fmt: skip


def refusals():
    for code, status in STATUSES.items():
        wait_s = 60.0 if status == 429 else None
        yield Refusal(
            reply=error(status, code), failure=FAILURES[code], code=f"{status} {code}",
            retry_after_s=wait_s,
        )  # fmt: skip
    yield Refusal(
        reply=error(503, "UNAVAILABLE", Retry_After="9"), failure=FailureClass.TRANSIENT,
        code="503 UNAVAILABLE", retry_after_s=9.0,
    )  # fmt: skip
    plain = json_reply(400, {"error": {"status": "INVALID_ARGUMENT"}})
    yield Refusal(reply=plain, failure=FailureClass.CONTENT, code="400 INVALID_ARGUMENT")


class TestFcmPush(HttpProviderConformance):
    @pytest.fixture
    async def rig(self):
        google = Google()
        async with HttpVendor(google, address_of=token_of) as vendor:
            google.port = vendor.port

            def provider(key):
                settings = FcmSettings(
                    project_id="shop-1", client_email=EMAIL, private_key=pem_of(key),
                    base_url=vendor.url, token_url=f"{vendor.url}/token", timeout_s=2.0,
                    connections_max=4,
                )  # fmt: skip
                return FcmPush.open(settings, NEAR)

            rig = HttpProviderRig(
                vendor=vendor,
                provider=provider(KEY),
                message_to=lambda token, **changes: PushMessage(
                    **({"platform": PushPlatform.FCM} | fields_of(token, **changes)),
                    token=token,
                    title="Hi",
                    body="There",
                    data={"order": "7"},
                    collapse_key="o",
                    ttl_s=60,
                ),
                addresses=lambda n: f"device-{n:030}",
                connections_max=4,
                refusals=list(refusals()),
                same_in_a_repeat=lambda got: token_of(got) and got.body,
                with_wrong_credentials=provider(OTHER),
            )
            yield rig
            await rig.provider.close()

    async def test_e12_one_token_serves_many_and_a_new_one_is_got_when_it_is_refused(self, rig):
        await outcomes_of(rig.provider, rig.messages(10))
        google: Google = rig.vendor.answering
        before = len(google.tokens)
        google.tokens.append("revoked-all")

        outcomes = await outcomes_of(rig.provider, rig.messages(1, first=20))

        assert before == 1
        assert type(outcomes[0]).__name__ == "Accepted"

    async def test_the_message_is_as_the_api_takes_it(self, rig):
        await outcomes_of(rig.provider, rig.messages(1))

        [sent] = [orjson.loads(got.body) for got in rig.vendor.got if token_of(got)]
        assert sent["message"] == {
            "token": rig.addresses(0),
            "notification": {"title": "Hi", "body": "There"},
            "data": {"order": "7"},
            "android": {"priority": "NORMAL", "collapse_key": "o", "ttl": "60s"},
        }

    async def test_a_device_of_another_platform_is_our_configuration(self, rig):
        other = rig.message_to("x" * 20, platform=PushPlatform.APNS)

        [outcome] = await outcomes_of(rig.provider, [other])

        assert outcome == Rejected(failure=FailureClass.CONFIG, code="other_platform")


def test_a_key_that_is_none_is_refused_without_being_repeated():
    with pytest.raises(ValidationError) as refused:
        FcmSettings(project_id="p", client_email=EMAIL, private_key="no key")
    assert "no key" not in str(refused.value)
