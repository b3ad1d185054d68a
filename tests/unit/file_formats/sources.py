"""Files for these tests: in memory, or made while they are read."""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from cdp.file_formats.csv_rows import CsvReader, CsvRow
from cdp.file_formats.faults import FileRefused


class InMemory:
    """A `ByteSource` that counts what was read of it."""

    def __init__(self, raw: bytes, *, chunk: int = 1024 * 1024) -> None:
        self.raw = raw
        self.size = len(raw)
        self.taken = 0
        self.open = 0
        self._chunk = chunk

    async def read(self, offset: int) -> AsyncIterator[bytes]:
        assert 0 <= offset < self.size
        self.open += 1
        try:
            for at in range(offset, self.size, self._chunk):
                piece = self.raw[at : at + self._chunk]
                self.taken += len(piece)
                yield piece
        finally:
            self.open -= 1


class Tap:
    """Chunks, one by one, and how many bytes of them were taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.taken = 0
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.taken += len(chunk)
            yield chunk


def pieces(raw: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """The bytes in pieces of these sizes, and the rest."""
    at = 0
    for size in sizes:
        yield raw[at : at + size]
        at += size
    yield raw[at:]


def read(reader: CsvReader, chunks: Iterable[bytes]) -> tuple[list[CsvRow], FileRefused | None]:
    """The rows, and why there are no more."""
    rows: list[CsvRow] = []
    try:
        for chunk in chunks:
            rows.extend(reader.feed(chunk))
        for row in reader.end():
            rows.append(row)
    except FileRefused as refusal:
        return rows, refusal
    return rows, None


def cells_of(raw: bytes, **options: Any) -> list[list[str]]:
    """The cells of a file in which nothing is wrong."""
    rows, refusal = read(CsvReader(**options), [raw])
    assert refusal is None, refusal
    assert all(row.fault is None for row in rows)
    return [row.cells for row in rows]


def refusal_of(raw: bytes | Iterable[bytes], **options: Any) -> FileRefused:
    """Why a file is refused."""
    _, refusal = read(CsvReader(**options), [raw] if isinstance(raw, bytes) else raw)
    assert refusal is not None
    return refusal
