"""`TwilioSms` against a server that answers as Twilio's documentation says."""

import base64
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from cdp.ports.provider import FailureClass, Rejected, SmsMessage, Unknown
from cdp.providers.sms.twilio import FAILURES, TwilioSettings, TwilioSms
from cdp.testing.http_provider_conformance import (
    HttpProviderConformance,
    HttpProviderRig,
    Refusal,
    outcomes_of,
)
from cdp.testing.http_vendor import Got, HttpVendor, Reply, json_reply
from tests.conformance.http_rigs import GUARDED, NEAR, fields_of

SID, TOKEN = "AC" + "0" * 32, "the-token"


def form_of(got: Got) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(got.body.decode()).items()}


def twilio(got: Got) -> Reply:
    """The API, for what is right about a request."""
    given = base64.b64encode(f"{SID}:{TOKEN}".encode()).decode()
    if got.headers.get("Authorization") != f"Basic {given}":
        return json_reply(401, {"code": 20003, "message": "Authenticate", "status": 401})
    if got.path != f"/2010-04-01/Accounts/{SID}/Messages.json":
        return json_reply(404, {"code": 20404, "status": 404})
    form = form_of(got)
    return json_reply(201, {"sid": "SM" + "1" * 32, "status": "queued", **form})


def refusals():
    for code, failure in FAILURES.items():
        status = 429 if failure is FailureClass.THROTTLED else 400
        body = {"code": code, "message": "…", "status": status}
        yield Refusal(reply=json_reply(status, body), failure=failure, code=f"{status} {code}")
    busy = json_reply(429, {"code": 20429, "status": 429}, Retry_After="3")
    yield Refusal(reply=busy, failure=FailureClass.THROTTLED, code="429 20429", retry_after_s=3.0)
    yield Refusal(reply=Reply(status=500), failure=FailureClass.TRANSIENT, code="500")
    yield Refusal(reply=Reply(status=503), failure=FailureClass.TRANSIENT, code="503")
    failed = json_reply(201, {"sid": "SM1", "status": "failed", "error_code": 30005})
    yield Refusal(reply=failed, failure=FailureClass.ADDRESS, code="failed 30005")


class TestTwilioSms(HttpProviderConformance):
    @pytest.fixture
    async def rig(self):
        async with HttpVendor(twilio, address_of=lambda got: form_of(got)["To"]) as vendor:

            def settings(token=TOKEN):
                return TwilioSettings(
                    account_sid=SID, auth_token=token, base_url=vendor.url, timeout_s=2.0,
                    connections_max=4,
                )  # fmt: skip

            rig = HttpProviderRig(
                vendor=vendor,
                provider=TwilioSms.open(settings(), NEAR),
                message_to=lambda to, **changes: SmsMessage(
                    **fields_of(to, **changes), sender="Example", to=to, text="Grüße & 4711"
                ),
                addresses=lambda n: f"+49151{n:08}",
                connections_max=4,
                refusals=list(refusals()),
                same_in_a_repeat=lambda got: got.body,
                with_wrong_credentials=TwilioSms.open(settings("wrong"), NEAR),
            )
            yield rig
            await rig.provider.close()

    async def test_the_message_arrives_as_it_was_written(self, rig: HttpProviderRig):
        await outcomes_of(rig.provider, rig.messages(1))

        assert form_of(rig.vendor.got[0]) == {
            "To": "+4915100000000", "From": "Example", "Body": "Grüße & 4711",
        }  # fmt: skip

    @pytest.mark.parametrize("status", [502, 504])
    async def test_d7_a_gateway_that_lost_its_backend_does_not_know(self, rig, status):
        rig.vendor.on(rig.addresses(0), Reply(status=status))

        [outcome] = await outcomes_of(rig.provider, rig.messages(1))

        assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    "host", ["https://127.0.0.1", "http://sms.example.com", "https://\uff11\uff12\uff17.0.0.1"]
)
async def test_a7_a_host_that_must_not_be_called_is_the_accounts_fault(host):
    account = TwilioSettings(account_sid=SID, auth_token=TOKEN, base_url=host)
    provider = TwilioSms.open(account, GUARDED)
    message = SmsMessage(**fields_of("x"), sender="", to="+4915100000000", text="Hi")

    [outcome] = await outcomes_of(provider, [message])
    await provider.close()

    assert outcome == Rejected(failure=FailureClass.CONFIG, code="target_forbidden")


def test_a_key_that_could_not_be_sent_is_refused_when_it_is_set():
    with pytest.raises(ValidationError):
        TwilioSettings(account_sid=SID, auth_token=TOKEN, api_key="SK:1")


async def test_without_a_sender_the_account_says_who_messages_are_from():
    async with HttpVendor(twilio, address_of=lambda got: form_of(got)["To"]) as vendor:
        account = {"account_sid": SID, "auth_token": TOKEN, "base_url": vendor.url}
        named = TwilioSms.open(TwilioSettings(**account, from_number="+15005550006"), NEAR)
        service = TwilioSms.open(TwilioSettings(**account, messaging_service_sid="MG1"), NEAR)
        message = SmsMessage(**fields_of("x"), sender="", to="+4915100000000", text="Hi")

        for provider in (named, service):
            await outcomes_of(provider, [message])
            await provider.close()

        forms = [form_of(got) for got in vendor.got]
    assert forms[0]["From"] == "+15005550006"
    assert forms[1]["MessagingServiceSid"] == "MG1"
