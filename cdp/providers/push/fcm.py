"""Firebase Cloud Messaging by its HTTP v1 API.

Source: firebase.google.com/docs: "FCM HTTP v1 API" (messages:send), "ErrorCode", "Scale and
throttle" (Retry-After, 60 s where there is none); developers.google.com/identity: "Using OAuth 2.0
for server to server applications" (RFC 7523: a JWT of the service account for a token).
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
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
from cdp.providers.http_client import HttpAnswer, HttpClient, Unanswered, refused
from cdp.providers.http_provider import HttpProvider
from cdp.providers.private_keys import has_fit_size, private_key_in
from cdp.providers.settings import ProviderSettings

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_LIFE_S: Final = 3_600
RENEW_BEFORE_S: Final = 300
RETRY_AFTER_S: Final = 60.0
"""What Google asks for where a 429 says nothing."""

FAILURES: Final[Mapping[str, FailureClass]] = {
    "UNREGISTERED": FailureClass.ADDRESS,
    "INVALID_ARGUMENT": FailureClass.CONTENT,
    "SENDER_ID_MISMATCH": FailureClass.ADDRESS,
    "QUOTA_EXCEEDED": FailureClass.THROTTLED,
    "UNAVAILABLE": FailureClass.TRANSIENT,
    "INTERNAL": FailureClass.TRANSIENT,
    "THIRD_PARTY_AUTH_ERROR": FailureClass.CONFIG,
    "PERMISSION_DENIED": FailureClass.CONFIG,
    "UNAUTHENTICATED": FailureClass.CONFIG,
}


class FcmSettings(ProviderSettings):
    """The service account, as its JSON file says."""

    project_id: str = Field(pattern=r"^[a-z0-9:.-]{1,100}$")
    client_email: str = Field(max_length=200)
    private_key: SecretStr = Field(description="The service account's key, in PEM.")
    token_url: str = Field("https://oauth2.googleapis.com/token", pattern=r"^https?://.{1,200}$")
    base_url: str = Field("https://fcm.googleapis.com", max_length=200, pattern=r"^https?://[^/]+$")
    timeout_s: float = Field(15.0, gt=0, le=60)
    connections_max: int = Field(50, ge=1, le=500)

    @field_validator("private_key")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        key = private_key_in(value.get_secret_value())
        if not isinstance(key, rsa.RSAPrivateKey) or not has_fit_size(key):
            raise ValueError("this is not a key of RSA with 2048 to 4096 bits")
        return value


class FcmPush(HttpProvider[PushMessage]):
    """Sends to registration tokens. The API knows no idempotency key."""

    PLATFORMS: ClassVar = frozenset({PushPlatform.FCM})
    Settings: ClassVar[type[ProviderSettings]] = FcmSettings

    def __init__(self, settings: FcmSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        self._clock = tools.clock
        self._settings = settings
        project = quote(settings.project_id, safe="")
        self._url = f"{settings.base_url}/v1/projects/{project}/messages:send"
        self._client = HttpClient(
            connections_max=settings.connections_max,
            timeout_s=settings.timeout_s,
            from_outside=True,
            reach_private=tools.reach_private,
            unfit_url=FailureClass.CONFIG,
        )
        self._token = ""
        self._fresh_until = 0.0
        self._renewing = asyncio.Lock()

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "FcmPush":
        """See `Adapter.open`."""
        return cls(settings, tools)

    async def send(self, message: PushMessage) -> Outcome:
        """See `HttpProvider.send`."""
        if message.platform is not PushPlatform.FCM:
            return Rejected(failure=FailureClass.CONFIG, code="other_platform")
        body = orjson.dumps({"message": message_of(message)})
        answer = await self._post(body, await self._bearer())
        if answer.status == 401:
            # The token was taken back before its end: with a new one it has not been sent yet.
            self._fresh_until = 0.0
            answer = await self._post(body, await self._bearer())
        return self._outcome(answer)

    async def _post(self, body: bytes, bearer: str) -> HttpAnswer:
        return await self._client.post(
            self._url,
            body=body,
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {bearer}"},
        )

    def _outcome(self, answer: HttpAnswer) -> Outcome:
        said = answer.json()
        if answer.status == 200:
            name = said.get("name") if isinstance(said, dict) else None
            if not isinstance(name, str):
                return Unknown(code="answer_unknown")
            return Accepted(provider_message_id=name[:200])
        code = error_code(said)
        refusal = refused(answer, now=self._clock.now(), failure=FAILURES.get(code), code=code)
        if refusal.failure is not FailureClass.THROTTLED or refusal.retry_after_s is not None:
            return refusal
        return Rejected(
            failure=refusal.failure,
            code=refusal.code,
            answer=refusal.answer,
            retry_after_s=RETRY_AFTER_S,
        )

    async def _bearer(self) -> str:
        async with self._renewing:
            if time.monotonic() >= self._fresh_until:
                await self._renew()
            return self._token

    async def _renew(self) -> None:
        settings, now = self._settings, int(self._clock.now().timestamp())
        claims = {
            "iss": settings.client_email,
            "scope": SCOPE,
            "aud": settings.token_url,
            "iat": now,
            "exp": now + TOKEN_LIFE_S,
        }
        assertion = jwt.encode(claims, settings.private_key.get_secret_value(), algorithm="RS256")
        try:
            answer = await self._client.post(
                settings.token_url,
                body=urlencode({"grant_type": GRANT, "assertion": assertion}).encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            )
        except Unanswered as unanswered:
            # Whatever became of that: no message was sent.
            code = getattr(unanswered.outcome, "code", "")
            raise Unanswered(
                Rejected(failure=FailureClass.TRANSIENT, code=f"token {code}")
            ) from None
        said = answer.json()
        token = said.get("access_token") if isinstance(said, dict) else None
        if answer.status != 200 or not isinstance(token, str):
            failure = FailureClass.CONFIG if 400 <= answer.status < 429 else FailureClass.TRANSIENT
            raise Unanswered(Rejected(failure=failure, code=f"token {answer.status}"))
        life_s = said.get("expires_in")
        life_s = life_s if isinstance(life_s, int) else TOKEN_LIFE_S
        self._token = token
        self._fresh_until = time.monotonic() + max(30, life_s - RENEW_BEFORE_S)

    async def close(self) -> None:
        """See `Provider.close`."""
        await super().close()
        await self._client.close()


def message_of(message: PushMessage) -> dict[str, Any]:
    """The message as the API takes it."""
    android: dict[str, Any] = {"priority": "HIGH" if message.is_urgent else "NORMAL"}
    if message.collapse_key is not None:
        android["collapse_key"] = message.collapse_key
    if message.ttl_s is not None:
        android["ttl"] = f"{message.ttl_s}s"
    return {
        "token": message.token,
        "notification": {"title": message.title, "body": message.body},
        "data": dict(message.data),
        "android": android,
    }


def error_code(said: Any) -> str:
    """The code of a refusal: FCM's own in its details, else the status of Google's APIs."""
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return ""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("errorCode"), str):
            return str(detail["errorCode"])[:50]
    status = error.get("status")
    return status[:50] if isinstance(status, str) else ""
