"""HTTP to a vendor: what was certainly not sent is told apart from what may have arrived.

Answers are bounded, redirects are not followed, and neither a URL nor an answer is ever logged.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson
from aiohttp.client_proto import ResponseHandler

from cdp.ports.provider import ANSWER_CHARS_MAX, FailureClass, Outcome, Rejected, Unknown
from cdp.providers.outbound import ForbiddenTarget, refuse_private, resolver_for

ANSWER_BYTES_MAX: Final = 64 * 1024
RETRY_AFTER_MAX_S: Final = 86_400.0
HTTP_ERROR: Final = 400


class Unanswered(Exception):
    """There is no answer; `outcome` says whether the message may have arrived all the same."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """At most `ANSWER_BYTES_MAX` of it."""

    @property
    def text(self) -> str:
        """For people, cut to `ANSWER_CHARS_MAX`."""
        return self.body[: 4 * ANSWER_CHARS_MAX].decode("utf-8", "replace")[:ANSWER_CHARS_MAX]

    def json(self) -> Any:
        """The JSON that it is, or None."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def retry_after_s(self, now: datetime) -> float | None:
        """What the vendor asks for: seconds or a time (RFC 9110, section 10.2.3)."""
        given = self.headers.get("Retry-After", "").strip()
        if given.isascii() and given.isdigit() and len(given) < 10:
            return min(float(given), RETRY_AFTER_MAX_S)
        try:
            moment = parsedate_to_datetime(given)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, min((moment - now).total_seconds(), RETRY_AFTER_MAX_S))


class _Connector(aiohttp.TCPConnector):
    """Has no more connections open than its limit, those that are idle included.

    aiohttp counts those in use only: who calls many hosts would keep one open to each for a while,
    until the process has no files left. There is no public way; a test sees whether this one holds.
    """

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        self._close_surplus()

    async def _create_connection(
        self,
        req: Any,
        traces: Any,
        timeout: Any,  # noqa: ASYNC109 - so it is called there
    ) -> ResponseHandler:
        # The one that is to be made counts as in use already.
        self._close_surplus()
        return await super()._create_connection(req, traces, timeout)

    def _close_surplus(self) -> None:
        idle = self._conns
        surplus = len(self._acquired) + sum(map(len, idle.values())) - self.limit
        for _ in range(surplus):
            if not idle:
                return
            # Of the longest idle each: where no host is called twice none of them is missed.
            key = min(idle, key=lambda each: idle[each][0][1])
            protocol, _since = idle[key].popleft()
            if not idle[key]:
                del idle[key]
            protocol.close()


class HttpClient:
    """A session with kept-open connections."""

    def __init__(
        self,
        *,
        connections_max: int,
        timeout_s: float,
        from_outside: bool,
        reach_private: bool,
        unfit_url: FailureClass = FailureClass.ADDRESS,
    ) -> None:
        """A client.

        Args:
            connections_max: how many connections are open at once.
            timeout_s: for a whole answer; a connection has half of it.
            from_outside: whether a client or a recipient has given the URLs (rule A7).
            reach_private: whether they may lead into private networks all the same.
            unfit_url: what is at fault where one must not be called: the recipient's address, or
                the account where it is that which names the host.
        """
        self._connections_max = connections_max
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s / 2)
        self._is_guarded = from_outside and not reach_private
        self._unfit_url = unfit_url
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """Post this, and the answer.

        Raises:
            Unanswered: there is none.
        """
        try:
            self._require_fit(url)
            async with self._opened().post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                read = await _read(answer)
                return HttpAnswer(status=answer.status, headers=answer.headers, body=read)
        except ForbiddenTarget:
            raise Unanswered(Rejected(failure=self._unfit_url, code="target_forbidden")) from None
        except aiohttp.InvalidURL:
            raise Unanswered(Rejected(failure=self._unfit_url, code="url_invalid")) from None
        except aiohttp.ClientConnectorCertificateError:
            raise Unanswered(_not_sent("tls_failed")) from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ForbiddenTarget):
                refused = Rejected(failure=self._unfit_url, code="target_forbidden")
                raise Unanswered(refused) from None
            raise Unanswered(_not_sent("connect_failed")) from None
        except aiohttp.ConnectionTimeoutError:
            raise Unanswered(_not_sent("connect_timeout")) from None
        except TimeoutError:
            raise Unanswered(Unknown(code="timeout")) from None
        except (aiohttp.ClientError, OSError) as error:
            # The request may have been written before this.
            raise Unanswered(Unknown(code="cut", answer=type(error).__name__)) from None

    def _require_fit(self, url: str) -> None:
        if not self._is_guarded:
            return
        if not url.startswith("https://"):
            raise ForbiddenTarget("not https")
        if not url.isascii():
            # The HTTP client makes plain digits of all that Unicode has, so it would read an
            # address where we see a name. Names outside of ASCII have their A-labels.
            raise ForbiddenTarget("not ASCII")
        # A host that is an address is never asked of a resolver.
        refuse_private(_host_of(url))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    limit=self._connections_max,
                    resolver=resolver_for(reach_private=not self._is_guarded),
                    # A name that is resolved once is connected to once: no cache to outlive it.
                    use_dns_cache=not self._is_guarded,
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Give up the connections."""
        if self._session is not None:
            await self._session.close()
            # Transports of TLS are closed in a later turn of the loop.
            await asyncio.sleep(0)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        raise aiohttp.InvalidURL(url) from None


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The answer's beginning. One that is longer ends its connection."""
    read = bytearray()
    async for chunk in answer.content.iter_chunked(8192):
        read += chunk
        if len(read) >= ANSWER_BYTES_MAX:
            answer.close()
            break
    return bytes(read[:ANSWER_BYTES_MAX])


def _not_sent(code: str) -> Rejected:
    return Rejected(failure=FailureClass.TRANSIENT, code=code)


def refused(
    answer: HttpAnswer, *, now: datetime, failure: FailureClass | None = None, code: str = ""
) -> Rejected:
    """A refusal, by its status unless something more is known.

    Args:
        answer: what the vendor said.
        now: for a Retry-After that is a time.
        failure: what the vendor's own code means.
        code: the vendor's own code; it stands behind the status.
    """
    return Rejected(
        failure=failure or failure_of(answer.status),
        code=f"{answer.status} {code}".strip(),
        answer=answer.text,
        retry_after_s=answer.retry_after_s(now),
    )


def failure_of(status: int) -> FailureClass:
    """What a status means where nothing more is known."""
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return FailureClass.TRANSIENT if status >= 500 else FailureClass.PERMANENT


_BY_STATUS: Final[Mapping[int, FailureClass]] = {
    401: FailureClass.CONFIG,
    402: FailureClass.CONFIG,
    403: FailureClass.CONFIG,
    407: FailureClass.CONFIG,
    408: FailureClass.TRANSIENT,
    413: FailureClass.CONTENT,
    425: FailureClass.TRANSIENT,
    429: FailureClass.THROTTLED,
}
