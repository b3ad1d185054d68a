"""Push notifications into the embedded mailbox: for every platform, on a machine for trying."""

from typing import Any, ClassVar

import orjson
from pydantic import Field

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Outcome,
    ProviderTools,
    PushMessage,
    Unknown,
)
from cdp.providers.http_client import HttpClient, refused
from cdp.providers.http_provider import HttpProvider
from cdp.providers.settings import ProviderSettings


class MailboxPushSettings(ProviderSettings):
    """Where the mailbox is."""

    base_url: str = Field("http://127.0.0.1:8025", max_length=200, pattern=r"^https?://[^/]+$")
    timeout_s: float = Field(10.0, gt=0, le=60)
    connections_max: int = Field(10, ge=1, le=100)


class MailboxPush(HttpProvider[PushMessage]):
    """Posts each notification to the mailbox, which shows it."""

    Settings: ClassVar[type[ProviderSettings]] = MailboxPushSettings

    def __init__(self, settings: MailboxPushSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        self._clock = tools.clock
        self._url = f"{settings.base_url}/push"
        self._client = HttpClient(
            connections_max=settings.connections_max,
            timeout_s=settings.timeout_s,
            from_outside=True,
            reach_private=tools.reach_private,
            unfit_url=FailureClass.CONFIG,
        )

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "MailboxPush":
        """See `Adapter.open`."""
        return cls(settings, tools)

    async def send(self, message: PushMessage) -> Outcome:
        """See `HttpProvider.send`."""
        content = {
            "platform": message.platform.value,
            "token": message.token,
            "title": message.title,
            "body": message.body,
            "data": dict(message.data),
            "collapse_key": message.collapse_key,
            "ttl_s": message.ttl_s,
        }
        answer = await self._client.post(
            self._url, body=orjson.dumps(content), headers={"Content-Type": "application/json"}
        )
        if answer.status != 200:
            return refused(answer, now=self._clock.now())
        said = answer.json()
        known = said.get("id") if isinstance(said, dict) else None
        if not isinstance(known, str):
            return Unknown(code="answer_unknown")
        return Accepted(provider_message_id=known[:100])

    async def close(self) -> None:
        """See `Provider.close`."""
        await super().close()
        await self._client.close()
