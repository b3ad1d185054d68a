"""From a stored file to batches of its rows, a piece at a time, whatever it is packed in.

reader = CsvReader()
async for rows in batches(plain_bytes(source, bytes_max=5 * 1024**3), reader):
    ...  # then keep reader.layout and rows[-1].position
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from cdp.file_formats.compression import (
    GZIP_MAGIC,
    ByteSource,
    closing,
    gunzipped,
    read_exactly,
    too_large,
)
from cdp.file_formats.csv_rows import PIECE_BYTES
from cdp.file_formats.faults import FileRefused
from cdp.file_formats.zip_member import ZIP_MAGICS, unzipped

R = TypeVar("R", covariant=True)
Row = TypeVar("Row")
_MAGIC_BYTES: Final = 4


class FileKind(StrEnum):
    """What the rows of a file are."""

    CSV = "csv"
    NDJSON = "ndjson"


_ENDINGS: Final = {
    "csv": FileKind.CSV,
    "tsv": FileKind.CSV,
    "txt": FileKind.CSV,
    "ndjson": FileKind.NDJSON,
    "jsonl": FileKind.NDJSON,
}
_ENDING: Final = re.compile(r"\.(\w+)(?:\.(?:gz|zip))?$")


def kind_of(name: str) -> FileKind | None:
    """What a file's name says of its rows, such as `people.csv.gz`; None if nothing.

    It is only what is meant: how a file is packed, its first bytes say.
    """
    found = _ENDING.search(name.lower())
    return None if found is None else _ENDINGS.get(found[1])


class Packing(StrEnum):
    """What a file is packed in."""

    GZIP = "gzip"
    ZIP = "zip"


async def packing_of(source: ByteSource) -> Packing | None:
    """What a file is packed in, as its first bytes say; None if in nothing."""
    magic = await read_exactly(source, 0, _MAGIC_BYTES)
    if magic.startswith(GZIP_MAGIC):
        return Packing.GZIP
    return Packing.ZIP if magic in ZIP_MAGICS else None


class RowReader(Protocol[R]):
    """`CsvReader` or `NdjsonReader`."""

    def feed(self, chunk: bytes) -> Iterator[R]:
        """The rows that are known to be whole by these bytes."""

    def end(self) -> Iterator[R]:
        """The rest of the rows."""


async def plain_bytes(
    source: ByteSource, *, bytes_max: int, offset: int = 0
) -> AsyncGenerator[bytes, None]:
    """A file's bytes, decompressed if it is gzip or zip by its first bytes.

    A plain file is read from the offset on; of a compressed one all is decompressed again, and what
    is in front of the offset is passed over.

    Args:
        source: the file.
        bytes_max: that there may be of it in all, decompressed.
        offset: where to begin, in the decompressed file.

    Raises:
        FileRefused: it is too large, a bomb, damaged, or holds not just one file.
    """
    seen = 0
    pieces: AsyncIterator[bytes]
    packing = await packing_of(source)
    if packing is Packing.GZIP:
        pieces = gunzipped(source)
    elif packing is Packing.ZIP:
        pieces = unzipped(source, bytes_max=bytes_max)
    else:
        if source.size > bytes_max:
            raise too_large(bytes_max)
        if offset >= source.size:
            return
        pieces, seen = source.read(offset), offset
    async with closing(pieces):
        async for piece in pieces:
            begin, seen = seen, seen + len(piece)
            if seen > bytes_max:
                raise too_large(bytes_max)
            if seen > offset:
                yield piece[max(0, offset - begin) :]
            else:
                # Passing over a long file must not keep the event loop.
                await asyncio.sleep(0)


async def batches(
    chunks: AsyncIterable[bytes], reader: RowReader[Row]
) -> AsyncGenerator[list[Row], None]:
    """The rows, some hundred at once, with a turn for the event loop in between.

    Raises:
        FileRefused: the file can't be read on; all rows before that were given.
    """
    async with closing(chunks):
        async for chunk in chunks:
            for at in range(0, len(chunk), PIECE_BYTES):
                rows, refusal = _taken(reader.feed(chunk[at : at + PIECE_BYTES]))
                if rows:
                    yield rows
                if refusal is not None:
                    raise refusal
                await asyncio.sleep(0)
    rows, refusal = _taken(reader.end())
    if rows:
        yield rows
    if refusal is not None:
        raise refusal


def _taken(rows: Iterator[Row]) -> tuple[list[Row], FileRefused | None]:
    """The rows, and why there are no more of them."""
    taken: list[Row] = []
    try:
        for row in rows:
            taken.append(row)
    except FileRefused as refusal:
        return taken, refusal
    return taken, None
