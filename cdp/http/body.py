"""Reads a request's body within its limits, whatever is sent (rule A6).

Size is counted after decompression, time only while waiting for the caller.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from starlette.types import Receive

from cdp.errors import CdpError, PayloadTooLarge, UnsupportedMediaType
from cdp.file_formats.compression import GZIP, RATIO_MAX, Inflater
from cdp.file_formats.faults import FileRefused
from cdp.http.problems import BodyTooSlow, ClientGone, Malformed

SINGLE_BYTES_MAX: Final = 1024 * 1024
BATCH_BYTES_MAX: Final = 32 * 1024 * 1024
BODY_S_MAX: Final = 30.0


class _Gunzip:
    """Undoes gzip piece by piece, and stops at a bomb."""

    def __init__(self, limit: int) -> None:
        self._inflater = Inflater(GZIP)
        self._limit = limit
        self._taken = 0

    def feed(self, data: bytes) -> list[bytes]:
        """What becomes of these bytes."""
        self._taken += len(data)
        if self._taken > self._limit:
            raise _too_large(self._limit)
        try:
            return list(self._inflater.feed(data))
        except FileRefused as refusal:
            raise _refused(refusal) from None

    def end(self) -> None:
        """Check that the stream is whole."""
        if not self._inflater.is_whole:
            raise Malformed("The gzip stream ends too early.")


def _refused(refusal: FileRefused) -> CdpError:
    if refusal.code == "archive_ratio":
        return PayloadTooLarge(
            f"The body grows to more than {RATIO_MAX} times its size when decompressed."
        )
    if refusal.code == "archive_members":
        return Malformed("There are bytes after the end of the gzip stream.")
    return Malformed("The body is not valid gzip.")


class Body:
    """One request's body."""

    def __init__(
        self,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        *,
        limit: int,
        within_s: float = BODY_S_MAX,
    ) -> None:
        """Look at the headers already.

        Raises:
            PayloadTooLarge: the length that is announced is above `limit`.
            UnsupportedMediaType: the content encoding is not gzip.
        """
        self._receive = receive
        self._limit = limit
        self._left_s = within_s
        announced = headers.get(b"content-length")
        if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
            raise _too_large(limit)
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b"gzip"):
            raise UnsupportedMediaType("The content encoding must be gzip, or none.")
        self._gunzip = _Gunzip(limit) if encoding == b"gzip" else None
        self.announced: int | None = None
        """How long it says it is; None when that can't be known before it was read."""
        if announced is not None and announced.isdigit() and self._gunzip is None:
            self.announced = int(announced)

    async def read(self) -> bytes:
        """All of it.

        Raises:
            PayloadTooLarge: more than the limit, or a bomb.
            BodyTooSlow: the caller took longer than it may.
            ClientGone: the connection ended.
            Malformed: it is not the gzip that it claims to be.
        """
        if self._gunzip is None:
            data, more = await self._next()
            if not more and len(data) <= self._limit:
                return data
            pieces = [data]
            size = len(data)
            while more and size <= self._limit:
                data, more = await self._next()
                pieces.append(data)
                size += len(data)
            if size > self._limit:
                raise _too_large(self._limit)
            return b"".join(pieces)
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        """The same, piece by piece as it arrives."""
        more, size = True, 0
        while more:
            data, more = await self._next()
            for piece in (data,) if self._gunzip is None else self._gunzip.feed(data):
                size += len(piece)
                if size > self._limit:
                    raise _too_large(self._limit)
                yield piece
        if self._gunzip is not None:
            self._gunzip.end()

    async def _next(self) -> tuple[bytes, bool]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        try:
            async with asyncio.timeout(self._left_s):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlow from None
        self._left_s -= loop.time() - before
        if message["type"] != "http.request":
            raise ClientGone
        return message.get("body", b""), message.get("more_body", False)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {limit // 1024} KiB.")


def media_type(headers: Mapping[bytes, bytes], *allowed: str) -> str:
    """The content type, which must be one of those that are allowed.

    Raises:
        UnsupportedMediaType: it is another, or there is none.
    """
    given = headers.get(b"content-type", b"").decode("latin-1")
    if given in allowed:
        return given
    name, *parameters = (part.strip().lower() for part in given.split(";"))
    charsets = [p for p in parameters if p.startswith("charset=")]
    if name not in allowed or any(c.strip('"') not in _UTF_8 for c in charsets):
        raise UnsupportedMediaType(f"The content type must be {' or '.join(allowed)}, in UTF-8.")
    return name


_UTF_8: Final = ("charset=utf-8", "charset=utf8", 'charset="utf-8')
