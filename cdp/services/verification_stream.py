"""Five collections read side by side in the order of their ids, and cut at common results.

Each is read a page ahead while the page before it is being worked on. Whatever the sizes of the
collections, two pages of each are in memory at most, unless one result alone has more events.
"""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cdp.domain.ids import ID_BYTES
from cdp.storage.audit import AuditReads

Document = dict[str, Any]

LOG: Final = "communication_logs"
RESULTS: Final = "delivery_results"
KIN: Final = ("communication_requests", "recipients", "communications")
LOG_PAGE: Final = 8_000
PAGE: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """All that is stored of the results of one range of ids."""

    end: bytes | None
    """The first id that is not in it; None when there is no more."""
    events: dict[bytes, list[Document]]
    """By result, in the order of ids."""
    results: dict[bytes, Document]
    requests: dict[bytes, Document]
    recipients: dict[bytes, Document]
    communications: dict[bytes, Document]


class _Reader:
    """One collection: what was read of it and not yet given out, and the page to come."""

    def __init__(self, audit: AuditReads, name: str, before: bytes | None) -> None:
        self._audit = audit
        self._name = name
        self._before = before
        self._size = LOG_PAGE if name == LOG else PAGE
        self._buffer: list[Document] = []
        self._page: asyncio.Task[list[Document]] | None = self._begin(b"")

    def _begin(self, after: bytes) -> asyncio.Task[list[Document]]:
        page = self._audit.page(self._name, after=after, before=self._before, limit=self._size)
        return asyncio.create_task(page)

    @property
    def end(self) -> bytes | None:
        """The result up to which everything is here, without that one; None: all is here."""
        if self._page is None:
            return None
        last: bytes = self._buffer[-1]["_id"][:ID_BYTES] if self._buffer else b""
        return last

    async def extend(self) -> None:
        """Take in one more page."""
        if self._page is None:
            return
        page = await self._page
        self._page = self._begin(page[-1]["_id"]) if len(page) == self._size else None
        self._buffer += page

    def take(self, end: bytes | None) -> list[Document]:
        """What stands before a result."""
        # An event's id is its result's and more, so it stands behind it.
        whole = len(self._buffer)
        cut = whole if end is None else bisect_left(self._buffer, end, key=_id_of)
        taken, self._buffer = self._buffer[:cut], self._buffer[cut:]
        return taken

    async def close(self) -> None:
        """Give up the page to come."""
        if self._page is not None:
            self._page.cancel()
            await asyncio.gather(self._page, return_exceptions=True)


def _id_of(document: Document) -> bytes:
    stored: bytes = document["_id"]
    return stored


async def chunks(audit: AuditReads, *, before: bytes | None) -> AsyncGenerator[Chunk, None]:
    """Everything, in the order of ids.

    Args:
        audit: where from.
        before: the id to end before: what is made while we read would never end.
    """
    readers = [_Reader(audit, name, before) for name in (LOG, RESULTS, *KIN)]
    end: bytes | None = b""
    try:
        while end is not None:
            for reader in readers:
                if reader.end is not None and reader.end <= end:
                    await reader.extend()
            end = min((r.end for r in readers if r.end is not None), default=None)
            yield _cut(readers, end)
    finally:
        for reader in readers:
            await reader.close()


def _cut(readers: Sequence[_Reader], end: bytes | None) -> Chunk:
    log, *others = [reader.take(end) for reader in readers]
    results, requests, recipients, communications = map(_by_id, others)
    return Chunk(
        end=end,
        events=_by_result(log),
        results=results,
        requests=requests,
        recipients=recipients,
        communications=communications,
    )


def _by_id(documents: Sequence[Document]) -> dict[bytes, Document]:
    return {document["_id"]: document for document in documents}


def _by_result(events: Sequence[Document]) -> dict[bytes, list[Document]]:
    grouped: dict[bytes, list[Document]] = {}
    for event in events:
        result_id = event["_id"][:ID_BYTES]
        if result_id in grouped:
            grouped[result_id].append(event)
        else:
            grouped[result_id] = [event]
    return grouped
