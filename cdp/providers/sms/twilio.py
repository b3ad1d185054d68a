"""Text messages over the Messages API of Twilio, or of a vendor that speaks it.

Source: twilio.com/docs: "Messages resource" (form fields `To`, `From`, `Body`; 201 with `sid`),
"Error and Warning Dictionary" (the codes below), "Twilio API: HTTP responses" (429, 20429).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode

from aiohttp import encode_basic_auth
from pydantic import Field, SecretStr

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Outcome,
    ProviderTools,
    Rejected,
    SmsMessage,
    Unknown,
)
from cdp.providers.http_client import HttpClient, refused
from cdp.providers.http_provider import HttpProvider
from cdp.providers.settings import ProviderSettings

FAILURES: Final[Mapping[int, FailureClass]] = {
    20003: FailureClass.CONFIG,  # authentication error
    20005: FailureClass.CONFIG,  # account not active
    20404: FailureClass.CONFIG,  # the account's resource is not there
    20429: FailureClass.THROTTLED,  # too many requests
    14107: FailureClass.THROTTLED,  # message rate limit exceeded
    21211: FailureClass.ADDRESS,  # invalid To
    21212: FailureClass.CONFIG,  # invalid From
    21265: FailureClass.ADDRESS,  # To can't be a short code
    21266: FailureClass.ADDRESS,  # To and From are the same
    21408: FailureClass.CONFIG,  # region not enabled
    21601: FailureClass.CONFIG,  # From is not SMS-capable
    21602: FailureClass.CONTENT,  # body is required
    21603: FailureClass.CONFIG,  # From is required
    21604: FailureClass.ADDRESS,  # To is required
    21606: FailureClass.CONFIG,  # From is not ours
    21608: FailureClass.CONFIG,  # unverified To on a trial account
    21610: FailureClass.POLICY,  # the recipient has opted out
    21611: FailureClass.THROTTLED,  # the queue of From is full
    21612: FailureClass.ADDRESS,  # can't be routed
    21614: FailureClass.ADDRESS,  # not a mobile number
    21617: FailureClass.CONTENT,  # body too long
    30001: FailureClass.THROTTLED,  # queue overflow
    30002: FailureClass.CONFIG,  # account suspended
    30003: FailureClass.TRANSIENT,  # unreachable handset
    30004: FailureClass.POLICY,  # message blocked
    30005: FailureClass.ADDRESS,  # unknown handset
    30006: FailureClass.ADDRESS,  # landline
    30007: FailureClass.POLICY,  # carrier violation
    30008: FailureClass.TRANSIENT,  # unknown error
    63038: FailureClass.THROTTLED,  # daily limit of the account
}
CREATED: Final = (200, 201)
REFUSED: Final = frozenset({"failed", "undelivered", "canceled"})
GATEWAYS: Final = frozenset({502, 504})
"""A gateway that lost its backend does not know whether that took the message."""


class TwilioSettings(ProviderSettings):
    """The account, and who messages are from where the client has no sender."""

    account_sid: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")
    auth_token: SecretStr = Field(description="The account's token, or an API key's secret.")
    api_key: str | None = Field(
        None,
        max_length=100,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="The SID of an API key, used instead of the account's.",
    )
    from_number: str | None = Field(None, max_length=20)
    messaging_service_sid: str | None = Field(None, max_length=100)
    base_url: str = Field("https://api.twilio.com", max_length=200, pattern=r"^https?://[^/]+$")
    timeout_s: float = Field(15.0, gt=0, le=60)
    connections_max: int = Field(20, ge=1, le=200)


class TwilioSms(HttpProvider[SmsMessage]):
    """Sends by one POST for each message. The API knows no idempotency key for messages."""

    Settings: ClassVar[type[ProviderSettings]] = TwilioSettings

    def __init__(self, settings: TwilioSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        self._clock = tools.clock
        self._settings = settings
        account = quote(settings.account_sid, safe="")
        self._url = f"{settings.base_url}/2010-04-01/Accounts/{account}/Messages.json"
        self._authorization = encode_basic_auth(
            settings.api_key or settings.account_sid, settings.auth_token.get_secret_value()
        )
        self._client = HttpClient(
            connections_max=settings.connections_max,
            timeout_s=settings.timeout_s,
            from_outside=True,
            reach_private=tools.reach_private,
            unfit_url=FailureClass.CONFIG,
        )

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "TwilioSms":
        """See `Adapter.open`."""
        return cls(settings, tools)

    async def send(self, message: SmsMessage) -> Outcome:
        """See `HttpProvider.send`."""
        fields = {"To": message.to, "Body": message.text}
        if message.sender or self._settings.from_number:
            fields["From"] = message.sender or self._settings.from_number or ""
        elif self._settings.messaging_service_sid:
            fields["MessagingServiceSid"] = self._settings.messaging_service_sid
        answer = await self._client.post(
            self._url,
            body=urlencode(fields).encode(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Authorization": self._authorization,
            },
        )
        said = answer.json()
        said = said if isinstance(said, dict) else {}
        if answer.status in CREATED:
            return _created(said)
        if answer.status in GATEWAYS:
            return Unknown(code=str(answer.status))
        code = said.get("code")
        failure = FAILURES.get(code) if isinstance(code, int) else None
        return refused(
            answer,
            now=self._clock.now(),
            failure=failure,
            code=str(code) if isinstance(code, int) else "",
        )

    async def close(self) -> None:
        """See `Provider.close`."""
        await super().close()
        await self._client.close()


def _created(said: Mapping[str, Any]) -> Outcome:
    sid, status = said.get("sid"), said.get("status")
    if not isinstance(sid, str) or not isinstance(status, str):
        # It may have been sent; nobody can say.
        return Unknown(code="answer_unknown")
    if status in REFUSED:
        code = said.get("error_code")
        failure = FAILURES.get(code) if isinstance(code, int) else None
        return Rejected(
            failure=failure or FailureClass.PERMANENT, code=f"{status} {code or ''}".strip()
        )
    return Accepted(provider_message_id=sid[:100], answer=status[:100])
