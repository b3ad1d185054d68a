"""What the providers of Amazon Web Services have in common: the account, the client, the errors.

botocore's own retries are off: only the shard retries (rule D11).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import aioboto3
from aiobotocore.config import AioConfig
from botocore import exceptions as aws
from pydantic import Field, SecretStr

from cdp.ports.provider import ANSWER_CHARS_MAX, FailureClass, Rejected, Unknown
from cdp.providers.http_client import Unanswered, failure_of
from cdp.providers.settings import OPERATORS_ONLY, ProviderSettings

COMMON_FAILURES: Final[Mapping[str, FailureClass]] = {
    "AccessDenied": FailureClass.CONFIG,
    "AccessDeniedException": FailureClass.CONFIG,
    "AuthorizationError": FailureClass.CONFIG,
    "ExpiredToken": FailureClass.CONFIG,
    "IncompleteSignature": FailureClass.CONFIG,
    "InvalidClientTokenId": FailureClass.CONFIG,
    "InvalidSecurity": FailureClass.CONFIG,
    "MissingAuthenticationToken": FailureClass.CONFIG,
    "OptInRequired": FailureClass.CONFIG,
    "SignatureDoesNotMatch": FailureClass.CONFIG,
    "UnrecognizedClientException": FailureClass.CONFIG,
    "RequestExpired": FailureClass.TRANSIENT,
    "InternalFailure": FailureClass.TRANSIENT,
    "InternalError": FailureClass.TRANSIENT,
    "InternalServerError": FailureClass.TRANSIENT,
    "ServiceUnavailable": FailureClass.TRANSIENT,
    "RequestTimeout": FailureClass.TRANSIENT,
    "Throttling": FailureClass.THROTTLED,
    "ThrottlingException": FailureClass.THROTTLED,
    "RequestThrottled": FailureClass.THROTTLED,
}
"""Source: "Common errors" in the API references of SES v2 and of SNS."""

Words = tuple[str, str, FailureClass]
"""A code, words in small letters that stand in its message, and what it means then."""


class AwsSettings(ProviderSettings):
    """An account with Amazon Web Services."""

    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", examples=["eu-central-1"])
    access_key_id: str = Field(min_length=1, max_length=128, pattern=r"^\w+$")
    secret_access_key: SecretStr
    endpoint_url: str | None = Field(
        None,
        max_length=200,
        pattern=r"^https?://[^/]+$",
        description="Another host than Amazon's.",
        # botocore resolves names and follows redirects by itself, past our guard.
        json_schema_extra=OPERATORS_ONLY,
    )
    timeout_s: float = Field(15.0, gt=0, le=60)
    connections_max: int = Field(20, ge=1, le=200)


class AwsClient:
    """One service of an account, over kept-open connections."""

    def __init__(
        self,
        service: str,
        settings: AwsSettings,
        failures: Mapping[str, FailureClass],
        *,
        by_words: Sequence[Words] = (),
    ) -> None:
        """A client that is not connected yet.

        Args:
            service: its name to botocore.
            settings: the account.
            failures: what each of its error codes means.
            by_words: where one code has several meanings, what is told by the message's words.
        """
        self._service = service
        self._by_words = by_words
        self._settings = settings
        self._failures = failures
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None

    async def call(self, operation: Callable[[Any], Awaitable[Any]]) -> Any:
        """What an operation of the client answers.

        Raises:
            Unanswered: with what is known of the message.
        """
        try:
            client = await self._opened()
        except (aws.BotoCoreError, ValueError) as error:
            # Such as a profile that the environment names and nobody has: nothing was sent.
            name = type(error).__name__
            refused = Rejected(failure=FailureClass.CONFIG, code="account_unusable", answer=name)
            raise Unanswered(refused) from None
        try:
            return await operation(client)
        except aws.ParamValidationError:
            refused = Rejected(failure=FailureClass.CONTENT, code="ParamValidation")
            raise Unanswered(refused) from None
        except (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.SSLError):
            refused = Rejected(failure=FailureClass.TRANSIENT, code="connect_failed")
            raise Unanswered(refused) from None
        except aws.ClientError as error:
            raise Unanswered(self._refused(error)) from None
        except aws.ReadTimeoutError:
            raise Unanswered(Unknown(code="timeout")) from None
        except (aws.BotoCoreError, OSError) as error:
            # The request may have been written before this.
            raise Unanswered(Unknown(code="cut", answer=type(error).__name__)) from None

    def _refused(self, error: aws.ClientError) -> Rejected | Unknown:
        told = error.response.get("Error", {})
        meta = error.response.get("ResponseMetadata", {})
        status = int(meta.get("HTTPStatusCode", 0))
        code = str(told.get("Code", ""))[:80]
        if status < 300:
            return Unknown(code="answer_unknown")
        message = str(told.get("Message", ""))
        failure = self._failures.get(code) or failure_of(status)
        for of_code, words, meant in self._by_words:
            if code == of_code and words in message.lower():
                failure = meant
        after = str(meta.get("HTTPHeaders", {}).get("retry-after", ""))
        return Rejected(
            failure=failure,
            code=code if code and not code.isdigit() else str(status),
            answer=message[:ANSWER_CHARS_MAX],
            retry_after_s=float(after) if after.isdigit() and len(after) < 6 else None,
        )

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                settings = self._settings
                self._client = await self._stack.enter_async_context(
                    aioboto3.Session().client(
                        self._service,
                        region_name=settings.region,
                        aws_access_key_id=settings.access_key_id,
                        aws_secret_access_key=settings.secret_access_key.get_secret_value(),
                        endpoint_url=settings.endpoint_url,
                        config=AioConfig(
                            retries={"total_max_attempts": 1},
                            max_pool_connections=settings.connections_max,
                            connect_timeout=settings.timeout_s / 2,
                            read_timeout=settings.timeout_s,
                            parameter_validation=True,
                            ignore_configured_endpoint_urls=True,
                            # Else those of the environment, which no other provider goes through.
                            proxies={},
                        ),
                    )
                )
            return self._client

    async def close(self) -> None:
        """Give up the connections."""
        await self._stack.aclose()
