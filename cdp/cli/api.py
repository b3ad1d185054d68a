"""A small client of the platform's own HTTP API, for the commands that act as a sender does.

What may be repeated is repeated: a POST carries an idempotency key, so that the platform answers
a repeat as it did the first time, and nothing is sent twice.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp

from cdp.errors import CdpError

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PAGE: Final = 500
REPEATED: Final = frozenset({409, 429, 503})
"""Of these a repeat may be answered differently: in use, this client's limit, the platform's."""
RETRY_AFTER_S_MAX: Final = 5.0
FIELDS_SHOWN_MAX: Final = 3


class ApiRefusal(CdpError):
    """The API refused the request."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(sentence_of(status, problem))
        self.status = status
        self.problem = problem


class ApiUnreachable(CdpError):
    """The API does not answer. Is the platform up? Start it: cdp up"""


class Api:
    """The API as one client with one key."""

    def __init__(
        self, session: aiohttp.ClientSession, *, base: str, key: str, patience_s: float = 30.0
    ) -> None:
        """Say where and as whom.

        Args:
            session: shared by whoever likes; it keeps connections open.
            base: the API's address, with `/v1`.
            key: the client's API key.
            patience_s: how long one request is repeated before it is given up.
        """
        self._session = session
        self._base = base
        self._key = key
        self._patience_s = patience_s
        self.repeats = 0
        """Requests that had to be sent once more."""

    async def get(self, path: str, **query: str) -> Any:
        """What is at this path."""
        return await self._call("GET", path, params=query)

    async def put(self, path: str, value: Any) -> Any:
        """Put a JSON value there."""
        return await self._call("PUT", path, body=_json(value))

    async def post(self, path: str, value: Any = None, *, idempotency_key: str = "") -> Any:
        """Post a JSON value there."""
        body = b"" if value is None else _json(value)
        return await self._call("POST", path, body=body, idempotency_key=idempotency_key)

    async def delete(self, path: str) -> None:
        """Take away what is at this path."""
        await self._call("DELETE", path)

    async def post_raw(
        self, path: str, body: bytes, *, content_type: str, idempotency_key: str = ""
    ) -> Any:
        """Post these bytes there."""
        return await self._call(
            "POST", path, body=body, content_type=content_type, idempotency_key=idempotency_key
        )

    async def pages(self, path: str, **query: str) -> AsyncIterator[list[dict[str, Any]]]:
        """A list, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            extra = {"cursor": cursor} if cursor else {}
            page = await self.get(path, limit=str(PAGE), **query, **extra)
            yield page["items"]
            cursor = page["next_cursor"]

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = JSON,
        params: Mapping[str, str] | None = None,
        idempotency_key: str = "",
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._key}"}
        if body:
            headers["Content-Type"] = content_type
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        repeatable = method != "POST" or bool(idempotency_key)
        give_up_at = asyncio.get_running_loop().time() + self._patience_s
        while True:
            left_s = give_up_at - asyncio.get_running_loop().time()
            try:
                status, wait_s, answer = await self._once(
                    method, path, headers, body, params, max(left_s, 1.0)
                )
            except (aiohttp.ClientError, TimeoutError, OSError):
                if not repeatable or left_s <= 0:
                    raise ApiUnreachable from None
                wait_s = 0.5
            else:
                if status < 400:
                    return answer
                if not (repeatable and status in REPEATED and wait_s and left_s > wait_s):
                    raise ApiRefusal(status, answer)
            self.repeats += 1
            await asyncio.sleep(wait_s)

    async def _once(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        params: Mapping[str, str] | None,
        within_s: float,
    ) -> tuple[int, float, Any]:
        """The status, the seconds to wait before a repeat (0: none is asked for), the answer."""
        async with self._session.request(
            method,
            self._base + path,
            headers=headers,
            data=body or None,
            params=params,
            timeout=aiohttp.ClientTimeout(total=within_s),
        ) as response:
            raw = await response.read()
            wait_s = retry_after_s(response.headers.get("Retry-After"))
            return response.status, wait_s, _parsed(raw)


def retry_after_s(header: str | None) -> float:
    """The seconds that a `Retry-After` asks for, within a bound; 0 without one."""
    if header is None or not header.isdigit():
        return 0.0
    return min(max(float(header[:9]), 0.1), RETRY_AFTER_S_MAX)


def sentence_of(status: int, problem: Mapping[str, Any]) -> str:
    """A problem document in one sentence."""
    detail = str(problem.get("detail") or problem.get("title") or "no reason given")
    fields = [
        f"{error.get('pointer') or 'body'}: {error.get('detail', '')}"
        for error in problem.get("errors", ())[:FIELDS_SHOWN_MAX]
    ]
    return f"The API answered {status}: {detail}{' ' if fields else ''}{'; '.join(fields)}"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _parsed(raw: bytes) -> Any:
    """The JSON that came; what is none (a proxy's error page) becomes a problem of its own."""
    try:
        return json.loads(raw) if raw else {}
    except ValueError:
        return {"detail": raw[:200].decode("utf-8", "replace")}
