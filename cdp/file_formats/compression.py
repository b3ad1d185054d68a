"""Undoes gzip (RFC 1952) and deflate (RFC 1951) piece by piece, and stops at a bomb (rule A6).

Sums are checked, which is possible only behind the last piece: what came before was given by then.
"""

import contextlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from typing import Final, Protocol

from cdp.file_formats.faults import FileRefused

RATIO_MAX: Final = 100
RATIO_FREE_BYTES: Final = 64 * 1024
"""Below this a file may be as repetitive as it likes."""
PIECE_BYTES: Final = 64 * 1024
"""What is given at once, at most."""
GZIP: Final = 16 + zlib.MAX_WBITS
DEFLATE: Final = -zlib.MAX_WBITS

GZIP_MAGIC: Final = b"\x1f\x8b"


class ByteSource(Protocol):
    """A file that can be read from anywhere, such as an object of an `ObjectStore`."""

    @property
    def size(self) -> int:
        """In bytes."""

    def read(self, offset: int) -> AsyncIterator[bytes]:
        """Its bytes from there on, in chunks of any size. It is asked for nothing behind the end:
        some stores call that an error."""


def grows_too_much(taken: int, given: int) -> bool:
    """Whether so many bytes are a bomb that were made of so few."""
    return given > max(RATIO_FREE_BYTES, taken * RATIO_MAX)


class Inflater:
    """Compressed bytes in, pieces of the plain ones out."""

    def __init__(self, form: int) -> None:
        """Begin a stream.

        Args:
            form: `GZIP`, whose own sums are checked, or `DEFLATE`, which has none.
        """
        self._stream = zlib.decompressobj(form)
        self._taken = 0

        self.given = 0
        """Bytes, so far."""

    @property
    def is_whole(self) -> bool:
        """Whether the end of the stream was read."""
        return self._stream.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What becomes of these bytes, in pieces of `PIECE_BYTES` at most.

        Raises:
            FileRefused: they are no such stream, a bomb, or behind the end of it.
        """
        # What zlib has no room for yet it copies each time, so that it must not be much.
        for at in range(0, len(data), PIECE_BYTES):
            yield from self._feed(data[at : at + PIECE_BYTES])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream.eof:
                detail = "There is something behind the end of the compressed file."
                raise FileRefused("archive_members", detail)
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise _broken() from None
            left = self._stream.unconsumed_tail or self._stream.unused_data
            self._taken += len(data) - len(left)
            self.given += len(piece)
            if grows_too_much(self._taken, self.given):
                raise bomb()
            data = left
            if piece:
                yield piece

    def end(self) -> None:
        """Check that the stream is whole.

        Raises:
            FileRefused: it is not.
        """
        if not self._stream.eof:
            raise FileRefused("archive_invalid", "The compressed file breaks off.")


def bomb() -> FileRefused:
    """The refusal of what grows too much."""
    detail = f"The file grows to more than {RATIO_MAX} times its size when it is decompressed."
    return FileRefused("archive_ratio", detail)


def too_large(bytes_max: int) -> FileRefused:
    """The refusal of what is too long when it is plain."""
    return FileRefused("too_large", f"The file, decompressed, is larger than {bytes_max} bytes.")


def _broken() -> FileRefused:
    return FileRefused("archive_invalid", "The compressed file is damaged, or no gzip or zip.")


async def gunzipped(source: ByteSource) -> AsyncGenerator[bytes, None]:
    """The one file that this gzip file holds."""
    inflater = Inflater(GZIP)
    chunks = source.read(0)
    async with closing(chunks):
        async for chunk in chunks:
            for piece in inflater.feed(chunk):
                yield piece
    inflater.end()


async def read_exactly(source: ByteSource, offset: int, length: int) -> bytes:
    """So many bytes from there on; fewer where the file ends."""
    taken = bytearray()
    if length > 0 and offset < source.size:
        chunks = source.read(offset)
        async with closing(chunks):
            async for chunk in chunks:
                taken += chunk
                if len(taken) >= length:
                    break
    return bytes(taken[:length])


@contextlib.asynccontextmanager
async def closing(chunks: AsyncIterable[bytes]) -> AsyncIterator[None]:
    """Behind it nothing is open that these chunks came from."""
    try:
        yield
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
