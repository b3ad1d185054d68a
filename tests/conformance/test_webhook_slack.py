"""`SlackWebhook` against a server that answers as Slack's documentation says."""

import pytest

from cdp.ports.provider import FailureClass, WebhookMessage
from cdp.providers.webhook.slack import FAILURES, SlackSettings, SlackWebhook
from cdp.testing.http_provider_conformance import (
    HttpProviderConformance,
    HttpProviderRig,
    Refusal,
)
from cdp.testing.http_vendor import HttpVendor, Reply
from tests.conformance.http_rigs import DATE, NEAR, fields_of

STATUSES = {
    "action_prohibited": 403, "channel_is_archived": 410, "channel_not_found": 404,
    "invalid_token": 403, "no_active_hooks": 404, "no_service": 404, "no_service_id": 404,
    "no_team": 404, "posting_to_general_channel_denied": 403, "rollup_error": 500,
    "team_disabled": 403,
}  # fmt: skip


def refusals():
    for word, failure in FAILURES.items():
        status = STATUSES.get(word, 400)
        reply = Reply(status=status, body=word.encode())
        yield Refusal(reply=reply, failure=failure, code=f"{status} {word}")
    yield Refusal(reply=Reply(status=404), failure=FailureClass.ADDRESS, code="404")
    yield Refusal(reply=Reply(status=500), failure=FailureClass.TRANSIENT, code="500")


class TestSlackWebhook(HttpProviderConformance):
    @pytest.fixture
    async def rig(self):
        async with HttpVendor(lambda _: Reply(body=b"ok"), address_of=lambda g: g.path) as vendor:
            settings = SlackSettings(timeout_s=2.0, connections_max=4)
            rig = HttpProviderRig(
                vendor=vendor,
                provider=SlackWebhook.open(settings, NEAR),
                message_to=lambda path, **changes: WebhookMessage(
                    **fields_of(path, **changes),
                    url=vendor.url + path,
                    body=b'{"text":"Hi"}',
                    date=DATE,
                ),
                addresses=lambda n: f"/services/T0/B0/{n}",
                connections_max=4,
                refusals=list(refusals()),
                same_in_a_repeat=lambda got: got.body,
            )
            yield rig
            await rig.provider.close()
