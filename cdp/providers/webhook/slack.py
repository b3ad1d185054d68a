"""Incoming webhooks as Slack has them; Mattermost and Rocket.Chat take the same.

Source: docs.slack.dev, "Sending messages using incoming webhooks", with its table of errors.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import Field

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Outcome,
    ProviderTools,
    Rejected,
    Unknown,
    WebhookMessage,
)
from cdp.providers.http_client import HttpClient, refused
from cdp.providers.http_provider import HttpProvider
from cdp.providers.settings import ProviderSettings

FAILURES: Final[Mapping[str, FailureClass]] = {
    "invalid_payload": FailureClass.CONTENT,
    "no_text": FailureClass.CONTENT,
    "too_many_attachments": FailureClass.CONTENT,
    "user_not_found": FailureClass.ADDRESS,
    "channel_not_found": FailureClass.ADDRESS,
    "channel_is_archived": FailureClass.ADDRESS,
    "no_service": FailureClass.ADDRESS,
    "no_service_id": FailureClass.ADDRESS,
    "no_active_hooks": FailureClass.ADDRESS,
    "invalid_token": FailureClass.ADDRESS,
    "no_team": FailureClass.ADDRESS,
    "team_disabled": FailureClass.ADDRESS,
    "action_prohibited": FailureClass.POLICY,
    "posting_to_general_channel_denied": FailureClass.POLICY,
    "rollup_error": FailureClass.TRANSIENT,
}
"""What Slack says in the body of a refusal."""
OK: Final = ("ok", "")
"""Slack answers `ok`; Mattermost `ok`, Rocket.Chat JSON that says success."""


class SlackSettings(ProviderSettings):
    """How many calls there are at once. The URL, which is a secret, is the recipient's."""

    timeout_s: float = Field(10.0, gt=0, le=30)
    connections_max: int = Field(20, ge=1, le=200)


class SlackWebhook(HttpProvider[WebhookMessage]):
    """Posts to incoming webhooks."""

    Settings: ClassVar[type[ProviderSettings]] = SlackSettings

    def __init__(self, settings: SlackSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        self._clock = tools.clock
        self._client = HttpClient(
            connections_max=settings.connections_max,
            timeout_s=settings.timeout_s,
            from_outside=True,
            reach_private=tools.reach_private,
        )

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "SlackWebhook":
        """See `Adapter.open`."""
        return cls(settings, tools)

    async def send(self, message: WebhookMessage) -> Outcome:
        """See `HttpProvider.send`."""
        answer = await self._client.post(
            message.url, body=message.body, headers={"Content-Type": "application/json"}
        )
        said = answer.text.strip()
        if 200 <= answer.status < 300:
            told = answer.json()
            if said in OK or (isinstance(told, dict) and told.get("success") is True):
                return Accepted(answer="ok")
            return Unknown(code="answer_unknown")
        word = said if said in FAILURES else ""
        failure = FAILURES.get(said)
        if failure is None and answer.status in (403, 404, 410):
            failure = FailureClass.ADDRESS
        refusal = refused(answer, now=self._clock.now(), failure=failure, code=word)
        return Rejected(
            failure=refusal.failure, code=refusal.code, retry_after_s=refusal.retry_after_s
        )

    async def close(self) -> None:
        """See `Provider.close`."""
        await super().close()
        await self._client.close()
