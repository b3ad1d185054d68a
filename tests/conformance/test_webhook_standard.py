"""`StandardWebhook` against a real server, its signature checked by the real library."""

import base64
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import standardwebhooks
from pydantic import ValidationError

from cdp.ports.provider import Accepted, FailureClass, Rejected, WebhookMessage
from cdp.providers.webhook.standard import StandardWebhook, StandardWebhookSettings
from cdp.testing.http_provider_conformance import (
    HttpProviderConformance,
    HttpProviderRig,
    Refusal,
    outcomes_of,
)
from cdp.testing.http_vendor import Got, HttpVendor, Reply
from tests.conformance.http_rigs import DATE, GUARDED, NEAR, fields_of
from tests.waiting import eventually

SECRET = "whsec_" + base64.b64encode(b"n" * 32).decode()
OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()


def provider_with(tools=NEAR, **settings: Any) -> StandardWebhook:
    given = {"secret": SECRET, "timeout_s": 2.0, "connections_max": 4} | settings
    return StandardWebhook.open(StandardWebhookSettings(**given), tools)


def signed(got: Got) -> Any:
    headers = {name.lower(): value for name, value in got.headers.items()}
    return standardwebhooks.Webhook(SECRET).verify(got.body, headers)


@asynccontextmanager
async def rig_of(**settings: Any):
    async with HttpVendor(lambda _: Reply(status=204), address_of=lambda got: got.path) as vendor:
        rig = HttpProviderRig(
            vendor=vendor,
            provider=provider_with(**settings),
            message_to=lambda path, **changes: WebhookMessage(
                **fields_of(path, **changes),
                url=vendor.url + path,
                body=json.dumps({"to": path}).encode(),
                date=DATE,
            ),
            addresses=lambda n: f"/hooks/{n}",
            connections_max=4,
            refusals=[
                Refusal(reply=Reply(status=410), failure=FailureClass.ADDRESS, code="410"),
                Refusal(reply=Reply(status=400), failure=FailureClass.TRANSIENT, code="400"),
                Refusal(reply=Reply(status=401), failure=FailureClass.TRANSIENT, code="401"),
                Refusal(reply=Reply(status=404), failure=FailureClass.TRANSIENT, code="404"),
                Refusal(reply=Reply(status=413), failure=FailureClass.CONTENT, code="413"),
                Refusal(reply=Reply(status=500), failure=FailureClass.TRANSIENT, code="500"),
                Refusal(reply=Reply(status=301), failure=FailureClass.TRANSIENT, code="301"),
                Refusal(
                    reply=Reply(status=503, headers={"Retry-After": "120"}),
                    failure=FailureClass.TRANSIENT,
                    code="503",
                    retry_after_s=120.0,
                ),
            ],
            same_in_a_repeat=lambda got: (got.body, got.headers["webhook-id"]),
            any_success_is_taken=True,
        )
        yield rig
        await rig.provider.close()


class TestStandardWebhook(HttpProviderConformance):
    @pytest.fixture
    async def rig(self):
        async with rig_of() as rig:
            yield rig


async def test_e13_the_real_library_verifies_what_was_signed():
    async with rig_of() as rig:
        await outcomes_of(rig.provider, rig.messages(1))

        assert signed(rig.vendor.got[0]) == {"to": "/hooks/0"}


async def test_e13_a_tampered_body_is_not_verified():
    async with rig_of() as rig:
        await outcomes_of(rig.provider, rig.messages(1))
        [got] = rig.vendor.got

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        signed(Got(path=got.path, headers=got.headers, body=got.body + b" "))


async def test_e13_in_a_rotation_either_secret_verifies():
    async with rig_of(old_secret=OLD) as rig:
        await outcomes_of(rig.provider, rig.messages(1))
        [got] = rig.vendor.got

    for secret in (SECRET, OLD):
        headers = {name.lower(): value for name, value in got.headers.items()}
        assert standardwebhooks.Webhook(secret).verify(got.body, headers)


async def test_many_hosts_leave_no_more_connections_open_than_there_may_be():
    async with AsyncExitStack() as stack:
        vendors = [
            await stack.enter_async_context(
                HttpVendor(lambda _: Reply(status=204), address_of=lambda got: got.path)
            )
            for _ in range(12)
        ]
        provider = provider_with()
        stack.push_async_callback(provider.close)
        for turn in range(3):
            outcomes = await outcomes_of(
                provider,
                [
                    WebhookMessage(
                        **fields_of(f"{vendor.url}/{turn}"), url=vendor.url, body=b"{}", date=DATE
                    )
                    for vendor in vendors
                ],
            )
            assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes
            await eventually(lambda: sum(v.connections_open for v in vendors) == 4, within_s=5)
        again = await outcomes_of(
            provider,
            [WebhookMessage(**fields_of("again"), url=vendors[-1].url, body=b"{}", date=DATE)],
        )

        assert isinstance(again[0], Accepted)
        # The last that was called is the last to go.
        assert vendors[-1].connections_count == 3


async def test_a7_what_the_other_side_says_is_not_kept():
    async with rig_of() as rig:
        rig.vendor.on("/hooks/0", Reply(status=500, body=b"metadata: top secret"))
        [outcome] = await outcomes_of(rig.provider, rig.messages(1))

    assert isinstance(outcome, Rejected)
    assert outcome.answer == ""


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/", "https://127.0.0.1/", "https://169.254.169.254/latest",
     "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
     "https://[2002:7f00:1::]/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/",
     "https://127.1/", "https://localhost/", "https://10.0.0.1/", "https://\uff11\uff12\uff17.0.0.1/",
     "https://127\u30020\u30020\u30021/", "https://\u2460\u2461\u2466.0.0.1/", "https://0/", "https://0.0.0.0/",
     "https://[::1%25lo]/", "https://[fe80::1%25eth0]/", "https://[::127.0.0.1]/",
     "https://ada:secret@127.0.0.1/", "https://example.com\\@127.0.0.1/", "https://[::1"],
)  # fmt: skip
async def test_a7_a_target_in_a_private_network_is_not_called(url):
    provider = provider_with(tools=GUARDED)
    message = WebhookMessage(**fields_of(url), url=url, body=b"{}", date=DATE)

    [outcome] = await outcomes_of(provider, [message])
    await provider.close()

    # Some spellings of an address are refused by the HTTP client before we look at them.
    assert isinstance(outcome, Rejected)
    assert outcome.failure is FailureClass.ADDRESS
    assert outcome.code in ("target_forbidden", "url_invalid")


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "whsec_" + "A" * 8, "x" * 500])
def test_a_secret_that_can_be_none_is_refused(secret):
    with pytest.raises(ValidationError):
        StandardWebhookSettings(secret=secret)
