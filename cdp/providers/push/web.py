"""Web Push: to the push service that a browser has named in its subscription.

Source: RFC 8030 (the POST, TTL, Urgency, Topic, and its statuses), RFC 8291 (encryption), RFC 8292
(VAPID: a token by which the push service knows who sends).
"""

import base64
import time
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import http_ece
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import Field, SecretStr, field_validator

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Outcome,
    ProviderTools,
    PushMessage,
    PushPlatform,
    Rejected,
)
from cdp.providers.http_client import HttpClient, refused
from cdp.providers.http_provider import HttpProvider
from cdp.providers.private_keys import private_key_in
from cdp.providers.settings import ProviderSettings

TTL_DEFAULT_S: Final = 86_400
TOKEN_LIFE_S: Final = 12 * 3_600
"""RFC 8292, section 2: 24 hours at most."""
TOKENS_MAX: Final = 1_000
DEAD: Final = frozenset({404, 410})


class WebPushSettings(ProviderSettings):
    """Who sends: the key whose public half the web page has subscribed with."""

    vapid_private_key: SecretStr = Field(description="A key of the curve P-256, in PEM.")
    subject: str = Field(
        description="Where the push service finds you: mailto: or https:.",
        pattern=r"^(mailto:|https://)\S{1,200}$",
    )
    timeout_s: float = Field(15.0, gt=0, le=60)
    connections_max: int = Field(50, ge=1, le=500)

    @field_validator("vapid_private_key")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        private_key(value)
        return value


def private_key(pem: SecretStr) -> ec.EllipticCurvePrivateKey:
    """The key that a PEM holds.

    Raises:
        ValueError: it holds none of P-256.
    """
    key = private_key_in(pem.get_secret_value())
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("this is not a key of P-256")
    return key


class WebPush(HttpProvider[PushMessage]):
    """Sends to Web Push subscriptions."""

    PLATFORMS: ClassVar = frozenset({PushPlatform.WEB})
    Settings: ClassVar[type[ProviderSettings]] = WebPushSettings

    def __init__(self, settings: WebPushSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        self._clock = tools.clock
        self._subject = settings.subject
        self._pem = settings.vapid_private_key.get_secret_value()
        public = private_key(settings.vapid_private_key).public_key()
        self._public = _base64url(
            public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        )
        self._tokens: dict[str, tuple[float, str]] = {}
        self._client = HttpClient(
            connections_max=settings.connections_max,
            timeout_s=settings.timeout_s,
            from_outside=True,
            reach_private=tools.reach_private,
        )

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "WebPush":
        """See `Adapter.open`."""
        return cls(settings, tools)

    async def send(self, message: PushMessage) -> Outcome:
        """See `HttpProvider.send`."""
        if message.platform is not PushPlatform.WEB:
            return Rejected(failure=FailureClass.CONFIG, code="other_platform")
        try:
            body = encrypted(message)
        except (ValueError, http_ece.ECEException):
            return Rejected(failure=FailureClass.ADDRESS, code="subscription_invalid")
        headers = {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(TTL_DEFAULT_S if message.ttl_s is None else message.ttl_s),
            "Urgency": "high" if message.is_urgent else "normal",
            "Authorization": f"vapid t={self._token(message.token)}, k={self._public}",
        }
        # Without one of its own the message's own key: a repeat takes the place of the first.
        headers["Topic"] = message.collapse_key or _base64url(message.result_id)
        answer = await self._client.post(message.token, body=body, headers=headers)
        if answer.status in (200, 201, 202, 204):
            return Accepted(
                provider_message_id=answer.headers.get("Location", "")[:500] or None,
                answer=str(answer.status),
            )
        failure = FailureClass.ADDRESS if answer.status in DEAD else None
        refusal = refused(answer, now=self._clock.now(), failure=failure)
        # The push service is one that the recipient has named: what it says is not kept (rule A7).
        return Rejected(
            failure=refusal.failure, code=refusal.code, retry_after_s=refusal.retry_after_s
        )

    def _token(self, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        audience = f"{parts.scheme}://{parts.netloc}"
        until, token = self._tokens.get(audience, (0.0, ""))
        if time.monotonic() >= until:
            if len(self._tokens) >= TOKENS_MAX:
                self._tokens.clear()
            expires = int(self._clock.now().timestamp()) + TOKEN_LIFE_S
            claims = {"aud": audience, "exp": expires, "sub": self._subject}
            token = jwt.encode(claims, self._pem, algorithm="ES256")
            self._tokens[audience] = time.monotonic() + TOKEN_LIFE_S / 2, token
        return token

    async def close(self) -> None:
        """See `Provider.close`."""
        await super().close()
        await self._client.close()


def encrypted(message: PushMessage) -> bytes:
    """The message as only the browser can read it: JSON with title, body and data.

    Raises:
        ValueError, ECEException: the subscription's keys are none.
    """
    content = {"title": message.title, "body": message.body, "data": dict(message.data)}
    ours = ec.generate_private_key(ec.SECP256R1())
    body: bytes = http_ece.encrypt(
        orjson.dumps(content),
        private_key=ours,
        dh=_octets(message.p256dh),
        auth_secret=_octets(message.auth),
        version="aes128gcm",
    )
    return body


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
