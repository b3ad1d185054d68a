"""The Apple Push Notification service, over HTTP/2 with a token.

Source: developer.apple.com/documentation/usernotifications: "Sending notification requests to
APNs", "Handling notification responses from APNs" (the reasons below), "Establishing a token-based
connection to APNs" (ES256; no more than once in 20 minutes, no less than once in an hour).
"""

import ssl
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

import httpx
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field, SecretStr, field_validator

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Outcome,
    ProviderTools,
    PushMessage,
    PushPlatform,
    Rejected,
    Unknown,
)
from cdp.providers.http_client import HttpAnswer, refused
from cdp.providers.http_provider import HttpProvider
from cdp.providers.private_keys import private_key_in
from cdp.providers.settings import OPERATORS_ONLY, ProviderSettings, refuse_operators_only

HOSTS: Final = {
    "production": "https://api.push.apple.com",
    "sandbox": "https://api.sandbox.push.apple.com",
}
RENEW_S: Final = 40 * 60
"""Between the 20 and the 60 minutes that Apple asks for (rule E12)."""

FAILURES: Final[Mapping[str, FailureClass]] = {
    "BadDeviceToken": FailureClass.ADDRESS,
    "DeviceTokenNotForTopic": FailureClass.ADDRESS,
    "Unregistered": FailureClass.ADDRESS,
    "ExpiredToken": FailureClass.ADDRESS,
    "MissingDeviceToken": FailureClass.ADDRESS,
    "PayloadTooLarge": FailureClass.CONTENT,
    "PayloadEmpty": FailureClass.CONTENT,
    "BadCollapseId": FailureClass.CONTENT,
    "BadExpirationDate": FailureClass.CONTENT,
    "BadPriority": FailureClass.CONTENT,
    "BadMessageId": FailureClass.CONTENT,
    "BadTopic": FailureClass.CONFIG,
    "MissingTopic": FailureClass.CONFIG,
    "TopicDisallowed": FailureClass.CONFIG,
    "InvalidPushType": FailureClass.CONFIG,
    "BadCertificate": FailureClass.CONFIG,
    "BadCertificateEnvironment": FailureClass.CONFIG,
    "Forbidden": FailureClass.CONFIG,
    "InvalidProviderToken": FailureClass.CONFIG,
    "MissingProviderToken": FailureClass.CONFIG,
    "ExpiredProviderToken": FailureClass.TRANSIENT,
    "TooManyProviderTokenUpdates": FailureClass.THROTTLED,
    "TooManyRequests": FailureClass.THROTTLED,
    "IdleTimeout": FailureClass.TRANSIENT,
    "InternalServerError": FailureClass.TRANSIENT,
    "ServiceUnavailable": FailureClass.TRANSIENT,
    "Shutdown": FailureClass.TRANSIENT,
}


class ApnsSettings(ProviderSettings):
    """The key of a developer's team, and the app."""

    team_id: str = Field(pattern=r"^[A-Z0-9]{1,20}$")
    key_id: str = Field(pattern=r"^[A-Z0-9]{1,20}$")
    private_key: SecretStr = Field(description="The key (.p8), in PEM.")
    topic: str = Field(pattern=r"^[A-Za-z0-9.-]{1,200}$", description="The app's bundle id.")
    environment: Literal["production", "sandbox"] = "production"
    base_url: str | None = Field(
        None,
        max_length=200,
        pattern=r"^https://[^/]+$",
        description="Another host than Apple's.",
        # httpx resolves names by itself, past our guard.
        json_schema_extra=OPERATORS_ONLY,
    )
    ca_file: str | None = Field(
        None,
        max_length=500,
        description="Whom to trust instead of the system's authorities.",
        json_schema_extra=OPERATORS_ONLY,
    )
    timeout_s: float = Field(15.0, gt=0, le=60)
    concurrency: int = Field(100, ge=1, le=500, description="Streams of the one connection.")

    @field_validator("private_key")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        key = private_key_in(value.get_secret_value())
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ValueError("this is not a key of P-256")
        return value


class ApnsPush(HttpProvider[PushMessage]):
    """Sends to device tokens. A repeat carries the same `apns-id`."""

    PLATFORMS: ClassVar = frozenset({PushPlatform.APNS})
    Settings: ClassVar[type[ProviderSettings]] = ApnsSettings

    def __init__(self, settings: ApnsSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.concurrency)
        self._clock = tools.clock
        self._settings = settings
        self._base = settings.base_url or HOSTS[settings.environment]
        self._token = ""
        self._fresh_until = 0.0
        self._client: httpx.AsyncClient | None = None

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "ApnsPush":
        """See `Adapter.open`."""
        refuse_operators_only(settings, tools)
        return cls(settings, tools)

    async def send(self, message: PushMessage) -> Outcome:
        """See `HttpProvider.send`."""
        if message.platform is not PushPlatform.APNS:
            return Rejected(failure=FailureClass.CONFIG, code="other_platform")
        try:
            try:
                answer = await self._post(message)
            except httpx.WriteError:
                # The connection had died while it was idle. A request that was not written to its
                # end is none: it goes over a new one.
                answer = await self._post(message)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Rejected(failure=FailureClass.TRANSIENT, code="connect_failed")
        except (httpx.PoolTimeout, httpx.WriteError):
            return Rejected(failure=FailureClass.TRANSIENT, code="not_begun")
        except httpx.TimeoutException:
            return Unknown(code="timeout")
        except (httpx.HTTPError, OSError) as error:
            return Unknown(code="cut", answer=type(error).__name__)
        said = HttpAnswer(status=answer.status_code, headers=answer.headers, body=answer.content)
        return self._outcome(message, said)

    async def _post(self, message: PushMessage) -> httpx.Response:
        return await self._opened().post(
            f"{self._base}/3/device/{message.token}",
            content=orjson.dumps(payload_of(message)),
            headers=self._headers(message),
        )

    def _outcome(self, message: PushMessage, answer: HttpAnswer) -> Outcome:
        if answer.status == 200:
            return Accepted(provider_message_id=answer.headers.get("apns-id", message.key)[:100])
        told = answer.json()
        reason = told.get("reason") if isinstance(told, dict) else None
        reason = reason[:50] if isinstance(reason, str) else ""
        if reason == "ExpiredProviderToken":
            self._fresh_until = 0.0
        failure = FailureClass.ADDRESS if answer.status == 410 else FAILURES.get(reason)
        return refused(answer, now=self._clock.now(), failure=failure, code=reason)

    def _headers(self, message: PushMessage) -> dict[str, str]:
        now = self._clock.now().timestamp()
        headers = {
            "authorization": f"bearer {self._bearer()}",
            "apns-id": message.key,
            "apns-topic": self._settings.topic,
            "apns-push-type": "alert",
            "apns-priority": "10" if message.is_urgent else "5",
        }
        if message.collapse_key is not None:
            headers["apns-collapse-id"] = message.collapse_key
        if message.ttl_s is not None:
            headers["apns-expiration"] = str(int(now) + message.ttl_s if message.ttl_s else 0)
        return headers

    def _bearer(self) -> str:
        if time.monotonic() >= self._fresh_until:
            settings = self._settings
            claims = {"iss": settings.team_id, "iat": int(self._clock.now().timestamp())}
            key = settings.private_key.get_secret_value()
            self._token = jwt.encode(
                claims, key, algorithm="ES256", headers={"kid": settings.key_id}
            )
            self._fresh_until = time.monotonic() + RENEW_S
        return self._token

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            trusted = ssl.create_default_context(cafile=self._settings.ca_file)
            self._client = httpx.AsyncClient(
                http1=False,
                http2=True,
                verify=trusted,
                timeout=self._settings.timeout_s,
                limits=httpx.Limits(max_connections=1),
                trust_env=False,
            )
        return self._client

    async def close(self) -> None:
        """See `Provider.close`."""
        await super().close()
        if self._client is not None:
            await self._client.aclose()


def payload_of(message: PushMessage) -> dict[str, Any]:
    """The notification as Apple takes it; the client's data stands beside `aps`."""
    data = {name: value for name, value in message.data.items() if name != "aps"}
    aps = {"alert": {"title": message.title, "body": message.body}, "sound": "default"}
    return {**data, "aps": aps}
