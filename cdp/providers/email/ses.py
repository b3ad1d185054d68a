"""Email through Amazon SES, by its API v2, as raw MIME: the same bytes in every attempt.

Source: docs.aws.amazon.com/ses/latest/APIReference-V2: "SendEmail" and its errors; the developer
guide's "Amazon SES email sending errors" and "Errors related to the sending quotas". It takes no
idempotency key.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from cdp.ports.provider import (
    Accepted,
    EmailMessage,
    FailureClass,
    Outcome,
    ProviderTools,
    Rejected,
    Unknown,
)
from cdp.providers.aws import COMMON_FAILURES, AwsClient, AwsSettings, Words
from cdp.providers.email.mime import build
from cdp.providers.http_provider import HttpProvider
from cdp.providers.settings import ProviderSettings, refuse_operators_only

FAILURES: Final[Mapping[str, FailureClass]] = {
    **COMMON_FAILURES,
    "AccountSuspendedException": FailureClass.CONFIG,
    "BadRequestException": FailureClass.CONTENT,
    "LimitExceededException": FailureClass.THROTTLED,
    "MailFromDomainNotVerifiedException": FailureClass.CONFIG,
    "MessageRejected": FailureClass.POLICY,
    "NotFoundException": FailureClass.CONFIG,
    "SendingPausedException": FailureClass.CONFIG,
    "TooManyRequestsException": FailureClass.THROTTLED,
}

BY_WORDS: Final[Sequence[Words]] = (
    # The sender, or with a new account ("sandbox") the recipient, is not verified in this region.
    ("MessageRejected", "not verified", FailureClass.CONFIG),
    ("MessageRejected", "sending suspended", FailureClass.CONFIG),
    ("MessageRejected", "sending paused", FailureClass.CONFIG),
)


class SesSettings(AwsSettings):
    """An account with SES."""

    configuration_set: str | None = Field(None, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")


class SesEmail(HttpProvider[EmailMessage]):
    """Sends each email by one call."""

    Settings: ClassVar[type[ProviderSettings]] = SesSettings

    def __init__(self, settings: SesSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        self._set = settings.configuration_set
        self._aws = AwsClient("sesv2", settings, FAILURES, by_words=BY_WORDS)

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> "SesEmail":
        """See `Adapter.open`."""
        refuse_operators_only(settings, tools)
        return cls(settings, tools)

    async def send(self, message: EmailMessage) -> Outcome:
        """See `HttpProvider.send`."""
        try:
            raw = build(message)
        except ValueError as error:
            return Rejected(failure=FailureClass.CONTENT, code="unsendable", answer=str(error))
        more = {} if self._set is None else {"ConfigurationSetName": self._set}
        answer = await self._aws.call(
            lambda client: client.send_email(
                FromEmailAddress=message.sender.email,
                Destination={"ToAddresses": [message.to.email, *message.copies]},
                Content={"Raw": {"Data": raw}},
                FeedbackForwardingEmailAddress=message.return_path,
                **more,
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
