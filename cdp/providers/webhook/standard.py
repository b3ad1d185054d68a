"""Webhooks that are signed by Standard Webhooks: a POST of JSON to the recipient's own URL.

Source: the specification of Standard Webhooks (github.com/standard-webhooks/standard-webhooks,
spec/standard-webhooks.md): the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`,
HMAC-SHA256 over id, timestamp and body; 410 says that nobody listens any more.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any, ClassVar, Final

from pydantic import Field, SecretStr, field_validator

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Outcome,
    ProviderTools,
    Rejected,
    WebhookMessage,
)
from cdp.providers.http_client import HttpClient, refused
from cdp.providers.http_provider import HttpProvider
from cdp.providers.settings import ProviderSettings

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - it says what follows
SECRET_OCTETS: Final = range(24, 65)
GONE: Final = 410


def secret_octets(secret: str) -> bytes:
    """The key that a secret stands for.

    Raises:
        ValueError: it is none.
    """
    try:
        octets = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a secret is whsec_ and base64") from None
    if len(octets) not in SECRET_OCTETS:
        raise ValueError("a secret has 24 to 64 bytes")
    return octets


class StandardWebhookSettings(ProviderSettings):
    """How calls are signed, and how many there are at once."""

    secret: SecretStr = Field(description="`whsec_` and 24 to 64 bytes in base64.")
    old_secret: SecretStr | None = Field(
        None, description="In a rotation: the one before, by which calls are signed as well."
    )
    timeout_s: float = Field(10.0, gt=0, le=30)
    connections_max: int = Field(100, ge=1, le=1_000)

    @field_validator("secret", "old_secret")
    @classmethod
    def _is_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            secret_octets(value.get_secret_value())
        return value


class StandardWebhook(HttpProvider[WebhookMessage]):
    """Calls the URLs of recipients."""

    Settings: ClassVar[type[ProviderSettings]] = StandardWebhookSettings

    def __init__(self, settings: StandardWebhookSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        secrets = [settings.secret, *([settings.old_secret] if settings.old_secret else [])]
        self._keys = [secret_octets(secret.get_secret_value()) for secret in secrets]
        self._clock = tools.clock
        self._client = HttpClient(
            connections_max=settings.connections_max,
            timeout_s=settings.timeout_s,
            from_outside=True,
            reach_private=tools.reach_private,
        )

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "StandardWebhook":
        """See `Adapter.open`."""
        return cls(settings, tools)

    async def send(self, message: WebhookMessage) -> Outcome:
        """See `HttpProvider.send`. Nothing that the other side says goes into the log: it may be
        the answer of a server that was not meant (rule A7)."""
        at = int(self._clock.now().timestamp())
        answer = await self._client.post(
            message.url,
            body=message.body,
            headers={
                "Content-Type": "application/json",
                "User-Agent": "communication-delivery-platform",
                "webhook-id": message.key,
                "webhook-timestamp": str(at),
                "webhook-signature": self._signature(message, at),
            },
        )
        if 200 <= answer.status < 300:
            return Accepted(answer=str(answer.status))
        if answer.status == GONE:
            return Rejected(failure=FailureClass.ADDRESS, code="410")
        refusal = refused(answer, now=self._clock.now(), failure=_failure_of(answer.status))
        return Rejected(
            failure=refusal.failure, code=refusal.code, retry_after_s=refusal.retry_after_s
        )

    def _signature(self, message: WebhookMessage, at: int) -> str:
        signed = b"%b.%d.%b" % (message.key.encode(), at, message.body)
        digests = (hmac.digest(key, signed, hashlib.sha256) for key in self._keys)
        return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)

    async def close(self) -> None:
        """See `Provider.close`."""
        await super().close()
        await self._client.close()


def _failure_of(status: int) -> FailureClass | None:
    """Whoever listens may be mended: all but what is gone is tried again.

    The URL is the recipient's and not an account of ours, so there is no failure of configuration.
    """
    if status == 429:
        return FailureClass.THROTTLED
    return FailureClass.CONTENT if status == 413 else FailureClass.TRANSIENT
