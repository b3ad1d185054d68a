"""Text messages through Amazon SNS.

Source: docs.aws.amazon.com/sns/latest/api: "Publish" and its errors; the developer guide's "SMS
attributes". Publish to a phone number takes no idempotency key.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from cdp.ports.provider import (
    Accepted,
    FailureClass,
    Outcome,
    ProviderTools,
    SmsMessage,
    Unknown,
)
from cdp.providers.aws import COMMON_FAILURES, AwsClient, AwsSettings, Words
from cdp.providers.http_provider import HttpProvider
from cdp.providers.settings import ProviderSettings, refuse_operators_only

FAILURES: Final[Mapping[str, FailureClass]] = {
    **COMMON_FAILURES,
    "EndpointDisabled": FailureClass.ADDRESS,
    "InvalidParameter": FailureClass.CONTENT,
    "InvalidParameterValue": FailureClass.CONTENT,
    "KMSAccessDenied": FailureClass.CONFIG,
    "KMSDisabled": FailureClass.CONFIG,
    "KMSInvalidState": FailureClass.CONFIG,
    "KMSNotFound": FailureClass.CONFIG,
    "KMSOptInRequired": FailureClass.CONFIG,
    "KMSThrottling": FailureClass.THROTTLED,
    "NotFound": FailureClass.CONFIG,
    "OptedOut": FailureClass.POLICY,
    "PlatformApplicationDisabled": FailureClass.CONFIG,
    "ParameterValueInvalid": FailureClass.CONTENT,
    "Throttled": FailureClass.THROTTLED,
    "UserError": FailureClass.CONTENT,
    "ValidationException": FailureClass.CONTENT,
}

BY_WORDS: Final[Sequence[Words]] = (
    ("InvalidParameter", "phonenumber", FailureClass.ADDRESS),
    ("InvalidParameter", "senderid", FailureClass.CONFIG),
    ("InvalidParameter", "originationnumber", FailureClass.CONFIG),
)


class SnsSettings(AwsSettings):
    """An account with SNS."""

    sms_type: Literal["Transactional", "Promotional"] = "Transactional"
    max_price_usd: float | None = Field(None, gt=0, le=100, description="For one message.")


class SnsSms(HttpProvider[SmsMessage]):
    """Publishes each message to its phone number."""

    Settings: ClassVar[type[ProviderSettings]] = SnsSettings

    def __init__(self, settings: SnsSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        self._attributes = {"AWS.SNS.SMS.SMSType": _text(settings.sms_type)}
        if settings.max_price_usd is not None:
            price = {"DataType": "Number", "StringValue": f"{settings.max_price_usd:.5f}"}
            self._attributes["AWS.SNS.SMS.MaxPrice"] = price
        self._aws = AwsClient("sns", settings, FAILURES, by_words=BY_WORDS)

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "SnsSms":
        """See `Adapter.open`."""
        refuse_operators_only(settings, tools)
        return cls(settings, tools)

    async def send(self, message: SmsMessage) -> Outcome:
        """See `HttpProvider.send`."""
        attributes = dict(self._attributes)
        if message.sender.startswith("+"):
            attributes["AWS.MM.SMS.OriginationNumber"] = _text(message.sender)
        elif message.sender:
            attributes["AWS.SNS.SMS.SenderID"] = _text(message.sender)
        answer = await self._aws.call(
            lambda client: client.publish(
                PhoneNumber=message.to, Message=message.text, MessageAttributes=attributes
            )
        )
        known = answer.get("MessageId")
        if not isinstance(known, str):
            return Unknown(code="answer_unknown")
        return Accepted(provider_message_id=known[:200])

    async def close(self) -> None:
        """See `Provider.close`."""
        await super().close()
        await self._aws.close()


def _text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}
