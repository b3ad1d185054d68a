"""The demonstration's other sides: the mailbox as a reader sees it, and the ledgers of both."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import aiohttp

from cdp.cli.demo_plan import result_id_of
from cdp.errors import CdpError

PAGE: Final = 500
TRIES: Final = 5
TIMEOUT: Final = aiohttp.ClientTimeout(total=15)

_PIXEL: Final = re.compile(r"""<img\b[^>]*?\bsrc="(https?://[^"]+/t/o/[^"]+\.gif)\"""")
_TRACKED_LINK: Final = "/t/c/"
_BROWSER: Final = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 CDP-Demo"
}
"""The reader plays a person."""


class InboxUnreachable(CdpError):
    """The mailbox does not answer: see its log in the state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One message as the mailbox lists it."""

    id: str
    channel: str
    result_id: str
    recipient: str
    message_id: str
    received_at: float
    """Seconds since 1970."""

    @property
    def is_named(self) -> bool:
        """Whether it came under a name of its sender's; a text message comes without one."""
        return self.result_id != self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedMail:
    """What can be followed in a message."""

    pixel: str | None
    links: tuple[str, ...]
    """Those that are tracked."""


class Inbox:
    """The mailbox's JSON interface."""

    def __init__(self, session: aiohttp.ClientSession, *, base: str) -> None:
        self._session = session
        self._base = base.rstrip("/")

    async def pages(self) -> AsyncIterator[list[Mail]]:
        """All messages, page by page, the newest first."""
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            page = await self._get("/api/messages", query)
            yield [mail_of(item) for item in page["items"]]
            cursor = page["next_cursor"]

    async def newest(self, *, since: float) -> list[Mail]:
        """The messages that came at this time or later."""
        found: list[Mail] = []
        async for page in self.pages():
            found += [mail for mail in page if mail.received_at >= since]
            if not page or page[-1].received_at < since:
                break
        return found

    async def open(self, mail: Mail) -> OpenedMail:
        """Look into a message."""
        return opened_of(await self._get(f"/api/messages/{mail.id}", {}))

    async def follow(self, url: str) -> bool:
        """Fetch a pixel or a tracked link, but not where it leads; whether it was answered."""
        for attempt in range(TRIES):
            try:
                async with self._session.get(
                    url, headers=_BROWSER, allow_redirects=False, timeout=TIMEOUT
                ) as response:
                    await response.read()
                    if response.status < 500:
                        return response.status in (200, 302)
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.2 * (attempt + 1))
        return False

    async def _get(self, path: str, query: Mapping[str, str]) -> Any:
        for attempt in range(TRIES):
            try:
                async with self._session.get(
                    self._base + path, params=query, timeout=TIMEOUT
                ) as response:
                    if response.status == 200:
                        return await response.json()
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.2 * (attempt + 1))
        raise InboxUnreachable


def mail_of(item: Mapping[str, Any]) -> Mail:
    """A message from the mailbox's list."""
    return Mail(
        id=item["id"],
        channel=item["channel"],
        result_id=result_id_of(item["message_id"]),
        recipient=item["rcpt_to"][0] if item["rcpt_to"] else "",
        message_id=item["message_id"],
        received_at=datetime.fromisoformat(item["received_at"]).timestamp(),
    )


def opened_of(message: Mapping[str, Any]) -> OpenedMail:
    """Pixel and tracked links of a whole message."""
    found = _PIXEL.search(message.get("html") or "")
    return OpenedMail(
        pixel=html.unescape(found[1]) if found else None,
        links=tuple(link for link in message.get("links", ()) if _TRACKED_LINK in link),
    )


class Ledger:
    """A file of NDJSON that `cdp verify` can hold against the books."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> "Ledger":
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self.path.open("w", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.close()

    def note(self, entries: Iterable[Mapping[str, str]]) -> None:
        """Add lines."""
        assert self._file is not None
        self._file.writelines(f"{json.dumps(entry)}\n" for entry in entries)
