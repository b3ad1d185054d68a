"""`SesEmail` and `SnsSms` against servers that answer as Amazon's documentation says, and moto."""

import asyncio
import base64
import email
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import boto3
import orjson
import pytest
from moto.server import ThreadedMotoServer

from cdp.ports.provider import (
    Accepted,
    EmailAddress,
    EmailMessage,
    FailureClass,
    Rejected,
    SmsMessage,
)
from cdp.providers.email import ses
from cdp.providers.sms import sns
from cdp.testing.http_provider_conformance import (
    HttpProviderConformance,
    HttpProviderRig,
    Refusal,
    outcomes_of,
)
from cdp.testing.http_vendor import Got, HttpVendor, Reply, json_reply
from tests.conformance.http_rigs import DATE, GUARDED, NEAR, fields_of

KEY, SECRET = "AKIAEXAMPLE", "secret"


def settings(url: str, key: str = KEY, **more: Any) -> dict[str, Any]:
    return {
        "region": "eu-central-1", "access_key_id": key, "secret_access_key": SECRET,
        "endpoint_url": url, "timeout_s": 2.0, "connections_max": 4, **more,
    }  # fmt: skip


def is_known(got: Got) -> bool:
    return f"Credential={KEY}/" in got.headers.get("Authorization", "")


def letter(address: str, **changes: Any) -> EmailMessage:
    return EmailMessage(
        **fields_of(address, **changes), sender=EmailAddress(email="news@shop.example"),
        to=EmailAddress(email=address), subject="Hi", html=None, text="There", date=DATE,
        message_id=f"{len(address)}@shop.example", return_path="bounces@shop.example",
    )  # fmt: skip


def ses_error(status: int, code: str, message: str = "…", **headers: str) -> Reply:
    return json_reply(status, {"message": message}, **{"x-amzn-errortype": code}, **headers)


def ses_api(got: Got) -> Reply:
    if not is_known(got):
        return ses_error(403, "UnrecognizedClientException")
    assert got.path == "/v2/email/outbound-emails"
    return json_reply(200, {"MessageId": "0100-1"})


def ses_address(got: Got) -> str:
    return str(orjson.loads(got.body)["Destination"]["ToAddresses"][0])


SES_STATUSES = {FailureClass.THROTTLED: 429, FailureClass.CONFIG: 400}


class TestSesEmail(HttpProviderConformance):
    @pytest.fixture
    async def rig(self):
        async with HttpVendor(ses_api, address_of=ses_address) as vendor:
            refusals = [
                Refusal(
                    reply=ses_error(SES_STATUSES.get(failure, 400), code),
                    failure=failure,
                    code=code,
                )
                for code, failure in ses.FAILURES.items()
            ]
            refusals += [
                Refusal(
                    reply=ses_error(400, "MessageRejected", said),
                    failure=FailureClass.CONFIG,
                    code="MessageRejected",
                )
                for said in (
                    "Email address is not verified. The following identities failed the check in "
                    "region EU-CENTRAL-1: news@shop.example",
                    "Sending suspended for this account. For more information, please check the "
                    "inbox of the email address associated with your AWS account.",
                )
            ]
            refusals.append(
                Refusal(
                    reply=ses_error(400, "ThrottlingException", "Daily message quota exceeded"),
                    failure=FailureClass.THROTTLED,
                    code="ThrottlingException",
                )
            )
            refusals.append(
                Refusal(reply=Reply(status=500), failure=FailureClass.TRANSIENT, code="500")
            )
            rig = HttpProviderRig(
                vendor=vendor,
                provider=ses.SesEmail.open(ses.SesSettings(**settings(vendor.url)), NEAR),
                message_to=letter,
                addresses=lambda n: f"reader{n}@example.org",
                connections_max=4,
                host_is_fixed=True,
                refusals=refusals,
                same_in_a_repeat=lambda got: got.body,
                with_wrong_credentials=ses.SesEmail.open(
                    ses.SesSettings(**settings(vendor.url, key="AKIAOTHER")), NEAR
                ),
                throttled=ses_error(429, "TooManyRequestsException", Retry_After="7"),
            )
            yield rig
            await rig.provider.close()


XML = '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{}</PublishResponse>'


def form_of(got: Got) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(got.body.decode()).items()}


def sns_error(status: int, code: str, message: str = "…", **headers: str) -> Reply:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f"<ErrorResponse>{error}</ErrorResponse>"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, body=body.encode(), headers={"Content-Type": "text/xml", **named})


def sns_api(got: Got) -> Reply:
    if not is_known(got):
        return sns_error(403, "InvalidClientTokenId")
    assert form_of(got)["Action"] == "Publish"
    result = "<PublishResult><MessageId>1-2-3</MessageId></PublishResult>"
    return Reply(body=XML.format(result).encode(), headers={"Content-Type": "text/xml"})


def text_to(phone: str, **changes: Any) -> SmsMessage:
    return SmsMessage(**fields_of(phone, **changes), sender="Example", to=phone, text="Grüße")


class TestSnsSms(HttpProviderConformance):
    @pytest.fixture
    async def rig(self):
        async with HttpVendor(sns_api, address_of=lambda g: form_of(g)["PhoneNumber"]) as vendor:
            refusals = [
                Refusal(reply=sns_error(400, code), failure=failure, code=code)
                for code, failure in sns.FAILURES.items()
            ]
            refusals += [
                Refusal(
                    reply=sns_error(400, "InvalidParameter", f"Invalid parameter: {said}"),
                    failure=failure,
                    code="InvalidParameter",
                )
                for said, failure in (
                    ("PhoneNumber Reason: +66123 is not valid to publish to", FailureClass.ADDRESS),
                    ("AWS.SNS.SMS.SenderID Reason: too long", FailureClass.CONFIG),
                    ("Message too long", FailureClass.CONTENT),
                )
            ]
            refusals.append(
                Refusal(
                    reply=sns_error(500, "InternalError"),
                    failure=FailureClass.TRANSIENT,
                    code="InternalError",
                )
            )
            rig = HttpProviderRig(
                vendor=vendor,
                provider=sns.SnsSms.open(sns.SnsSettings(**settings(vendor.url)), NEAR),
                message_to=text_to,
                addresses=lambda n: f"+49151{n:08}",
                connections_max=4,
                host_is_fixed=True,
                refusals=refusals,
                same_in_a_repeat=lambda got: got.body,
                with_wrong_credentials=sns.SnsSms.open(
                    sns.SnsSettings(**settings(vendor.url, key="AKIAOTHER")), NEAR
                ),
                throttled=sns_error(429, "Throttled", Retry_After="7"),
            )
            yield rig
            await rig.provider.close()

    async def test_the_message_arrives_as_it_was_written(self, rig: HttpProviderRig):
        await outcomes_of(rig.provider, rig.messages(1))

        form = form_of(rig.vendor.got[0])
        assert (form["PhoneNumber"], form["Message"]) == ("+4915100000000", "Grüße")
        assert {"Transactional", "Example"} <= set(form.values())


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def test_moto_takes_an_email_as_amazon_would(moto):
    account = settings(moto, timeout_s=10.0)
    boto3.client(
        "sesv2", region_name="eu-central-1", endpoint_url=moto, aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    ).create_email_identity(EmailIdentity="news@shop.example")  # fmt: skip
    provider = ses.SesEmail.open(ses.SesSettings(**account), NEAR)

    [outcome] = await outcomes_of(provider, [letter("ada@example.org")])
    await provider.close()

    assert isinstance(outcome, Accepted)
    assert outcome.provider_message_id


async def test_moto_takes_a_text_message_as_amazon_would(moto):
    provider = sns.SnsSms.open(sns.SnsSettings(**settings(moto, timeout_s=10.0)), NEAR)

    [outcome] = await outcomes_of(provider, [text_to("+4915112345678")])
    await provider.close()

    assert isinstance(outcome, Accepted)
    assert re.fullmatch(r"[0-9a-f-]{36}", outcome.provider_message_id or "")


async def test_ses_gets_the_whole_message_and_every_copy():
    async with HttpVendor(ses_api, address_of=ses_address) as vendor:
        account = ses.SesSettings(**settings(vendor.url, configuration_set="mine"))
        provider = ses.SesEmail.open(account, NEAR)
        await outcomes_of(provider, [letter("ada@example.org")])
        await provider.close()
        said = orjson.loads(vendor.got[0].body)

    raw = base64.b64decode(said["Content"]["Raw"]["Data"])
    assert email.message_from_bytes(raw)["Subject"] == "Hi"
    assert said["ConfigurationSetName"] == "mine"
    assert said["FeedbackForwardingEmailAddress"] == "bounces@shop.example"


@pytest.mark.parametrize(
    ("adapter", "model"), [(ses.SesEmail, ses.SesSettings), (sns.SnsSms, sns.SnsSettings)]
)
def test_a7_a_client_names_no_host_of_its_own(adapter, model):
    with pytest.raises(ValueError, match="endpoint"):
        adapter.open(model(**settings("http://169.254.169.254")), GUARDED)


async def test_an_account_that_cannot_be_opened_has_sent_nothing(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    provider = sns.SnsSms.open(sns.SnsSettings(**settings("http://127.0.0.1:9")), NEAR)

    [outcome] = await outcomes_of(provider, [text_to("+4915112345678")])
    await provider.close()

    assert isinstance(outcome, Rejected)
    assert (outcome.failure, outcome.code) == (FailureClass.CONFIG, "account_unusable")


async def test_a7_the_environment_of_the_machine_names_no_other_host(monkeypatch):
    async with HttpVendor(sns_api, address_of=lambda got: form_of(got)["PhoneNumber"]) as vendor:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SNS"):
            monkeypatch.setenv(name, vendor.url)
        account = settings("", timeout_s=5.0) | {"endpoint_url": None, "region": "xx-nowhere-1"}
        provider = sns.SnsSms.open(sns.SnsSettings(**account), NEAR)

        [outcome] = await outcomes_of(provider, [text_to("+4915112345678")])
        await provider.close()

    assert not isinstance(outcome, Accepted)
    assert vendor.got == []


async def test_a7_the_environment_of_the_machine_names_no_proxy(monkeypatch):
    connected = []

    async def refuse(_, writer):
        connected.append(writer.get_extra_info("peername"))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        account = settings("", timeout_s=5.0) | {"endpoint_url": None, "region": "xx-nowhere-1"}
        provider = sns.SnsSms.open(sns.SnsSettings(**account), NEAR)

        await outcomes_of(provider, [text_to("+4915112345678")])
        await provider.close()

    assert connected == []
