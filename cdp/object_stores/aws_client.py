"""What the S3 store and its queue have in common: the account, the client, tries and errors.

botocore's own retries are off, so that their number and pauses stand here. All that is called may
be called twice.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from cdp.ports.object_store import StoreUnavailable

PAUSE_MAX_S: Final = 5.0
AGAIN: Final = frozenset(
    {
        "InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling",
        "ThrottlingException", "RequestThrottled", "TooManyRequests",
    }
)  # fmt: skip
"""Codes of errors that pass. Source: "Error responses" of the S3 API reference and "Common errors"
of that of SQS."""
CUT: Final = (
    aws.ConnectionError,
    aws.HTTPClientError,
    aws.IncompleteReadError,
    ResponseParserError,
    aiohttp.ClientError,
    OSError,
)
"""A connection that was not there, broke, was silent or gave nonsense, also within an answer."""

_NOWHERE: Final = (None, None, os.devnull, None)
_OWN_ACCOUNT: Final = {
    "profile": (None, None, None, None),
    "config_file": _NOWHERE,
    "credentials_file": _NOWHERE,
}
"""Variables of a session that reads no profile and no file, whatever the environment names."""


class Refused(StoreUnavailable):
    """The service has understood, and said no."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(f"The store refuses: {code or status}.")
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsAccount:
    """An account with Amazon Web Services, or with what speaks their language.

    Without a key the AWS default chain finds one: the environment, the files in `~/.aws`, the role
    of the container or of the machine. For an operator's own store on EC2 that is right, since no
    secret lies about; with a key nothing of the machine's set-up counts.
    """

    region: str
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Certificates that are trusted instead of the public ones."""
    timeout_s: float = 30.0
    """For a connection, and for each time that nothing comes."""
    connections_max: int = 20
    """An object that is read holds one until its reader is closed; who finds none waits."""
    tries: int = 4
    """How often one request is sent, at most."""
    pause_s: float = 0.5
    """Before the second try, at most; it doubles up to `PAUSE_MAX_S`."""

    def __post_init__(self) -> None:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("An access key is an id and a secret: both or none.")


class AwsClient:
    """One service of an account, over kept-open connections."""

    def __init__(
        self, service: str, account: AwsAccount, *, endpoint_url: str | None, path_style: bool
    ) -> None:
        self.account = account
        self._service = service
        self._endpoint_url = endpoint_url
        self._path_style = path_style
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._client: Any = None

    async def call(self, operation: Callable[[Any], Awaitable[Any]]) -> Any:
        """What an operation of the client answers, within `tries` tries.

        Raises:
            Refused: it says no, and would say so again.
            StoreUnavailable: it can't be reached, or is too busy.
        """
        for number in range(1, self.account.tries + 1):
            try:
                return await operation(await self._opened())
            except aws.ClientError as error:
                refused = _refused(error)
                last: StoreUnavailable = refused
                if refused.code not in AGAIN and refused.status < 500 and refused.status != 429:
                    raise refused from None
            except CUT as error:
                last = StoreUnavailable(f"The store can't be reached: {type(error).__name__}.")
            except (aws.BotoCoreError, ValueError) as error:
                # Such as no credentials, or what can't be the name of a bucket.
                why = f"The store can't be asked: {type(error).__name__}."
                raise StoreUnavailable(why) from None
            if number < self.account.tries:
                await self.pause(number)
        raise last

    async def pause(self, number: int) -> None:
        """Wait after failed try `number`, counted from 1."""
        longest_s = min(self.account.pause_s * 2.0 ** (number - 1), PAUSE_MAX_S)
        # All that failed together shall not come back together.
        await asyncio.sleep(longest_s * random.uniform(0.5, 1))  # noqa: S311

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                account = self.account
                own = account.access_key_id is not None
                session = AioSession(session_vars=_OWN_ACCOUNT if own else None)
                context = session.create_client(
                    self._service,
                    region_name=account.region,
                    aws_access_key_id=account.access_key_id,
                    aws_secret_access_key=account.secret_access_key,
                    endpoint_url=self._endpoint_url,
                    # Never None, which would mean what the environment says.
                    verify=True if account.ca_file is None else os.fspath(account.ca_file),
                    config=self._config(),
                )
                self._client = await self._stack.enter_async_context(context)
            return self._client

    def _config(self) -> AioConfig:
        account = self.account
        return AioConfig(
            retries={"total_max_attempts": 1},
            max_pool_connections=account.connections_max,
            connect_timeout=account.timeout_s,
            read_timeout=account.timeout_s,
            signature_version="s3v4" if self._service == "s3" else "v4",
            s3={"addressing_style": "path" if self._path_style else "virtual"},
            # Content-MD5 is sent instead, which all that speak S3 know.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            ignore_configured_endpoint_urls=True,
            use_dualstack_endpoint=False,
            use_fips_endpoint=False,
            proxies={},
        )

    async def close(self) -> None:
        """Give up the connections."""
        await self._stack.aclose()
        self._client = None


def _refused(error: aws.ClientError) -> Refused:
    told = error.response.get("Error", {})
    meta = error.response.get("ResponseMetadata", {})
    return Refused(str(told.get("Code", ""))[:80], int(meta.get("HTTPStatusCode", 0)))
