"""Email through Amazon SES, by its API v2, as raw MIME: the same bytes in every attempt.

Source: docs.aws.amazon.com/ses/latest/APIReference-V2: "SendEmail" and its errors. It takes no
idempotency key.
"""

from collections.abc import Mapping
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
from cdp.providers.aws import AwsClient, AwsSettings
from cdp.providers.email.mime import build
from cdp.providers.http_provider import HttpProvider
from cdp.providers.settings import ProviderSettings, refuse_operators_only

FAILURES: Final[Mapping[str, FailureClass]] = {
    "AccountSuspendedException": FailureClass.CONFIG,
    "BadRequestException": FailureClass.CONTENT,
    "LimitExceededException": FailureClass.THROTTLED,
    "MailFromDomainNotVerifiedException": FailureClass.CONFIG,
    "MessageRejected": FailureClass.POLICY,
    "NotFoundException": FailureClass.CONFIG,
    "SendingPausedException": FailureClass.CONFIG,
    "TooManyRequestsException": FailureClass.THROTTLED,
}


class SesSettings(AwsSettings):
    """An account with SES."""

    configuration_set: str | None = Field(None, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")


class SesEmail(HttpProvider[EmailMessage]):
    """Sends each email by one call."""

    Settings: ClassVar[type[ProviderSettings]] = SesSettings

    def __init__(self, settings: SesSettings, tools: ProviderTools) -> None:
        super().__init__(concurrency=settings.connections_max)
        self._set = settings.configuration_set
        self._aws = AwsClient("sesv2", settings, FAILURES)

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
