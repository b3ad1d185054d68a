"""Reads NDJSON line by line, from bytes in any pieces, and goes on where it was left.

A line is what one POST would have as its body, and as long as that may be. It is given as its
bytes: whoever reads bodies reads it too, so that both take and refuse the same. What is wrong with
one line, its length too, is no matter of the others.
"""

import codecs
from collections.abc import Iterator
from typing import Final, NamedTuple

from cdp.file_formats.csv_rows import PIECE_BYTES, Position
from cdp.file_formats.faults import FileRefused, RowFault
from cdp.file_formats.text import encoding_of

LINE_BYTES_MAX: Final = 1024 * 1024
"""As long as the body of a POST may be."""
_BLANK: Final = b" \t\r"


class NdjsonRow(NamedTuple):
    """A line that is not blank."""

    number: int
    """Counted from 1, without blank lines."""
    line: bytes
    """UTF-8, without the line end; empty if there is a fault."""
    fault: RowFault | None
    offset: int
    lines: int

    @property
    def position(self) -> Position:
        """Behind it."""
        return Position(self.number, self.offset, self.lines)


class NdjsonReader:
    """Bytes in, lines out. Each of its iterators is to be exhausted before the next call."""

    def __init__(self, position: Position | None = None) -> None:
        """Begin with the first byte of a file, or with that at the offset of a position in it."""
        self._is_begun = position is not None
        self._rows, self._offset, self._lines = position or (0, 0, 0)
        self._waiting = bytearray()
        self._rest = b""
        self._passed_over = 0
        """Bytes of a line that is too long, which are not kept."""

    @property
    def position(self) -> Position:
        """Behind the last row that was given, or the blank ones after it."""
        return Position(self._rows, self._offset, self._lines)

    def feed(self, chunk: bytes) -> Iterator[NdjsonRow]:
        """The lines that are known to be whole by these bytes; maybe only by later ones.

        Raises:
            FileRefused: it begins as UTF-16 does.
        """
        self._waiting += chunk
        while len(self._waiting) >= PIECE_BYTES:
            piece = bytes(self._waiting[:PIECE_BYTES])
            del self._waiting[:PIECE_BYTES]
            yield from self._read(piece)

    def end(self) -> Iterator[NdjsonRow]:
        """The rest of the lines.

        Raises:
            FileRefused: there were no lines at all.
        """
        yield from self._read(bytes(self._waiting))
        if self._rest or self._passed_over:
            yield from self._row(self._rest, line_end=0)
        if not self._rows:
            if not self._offset:
                raise FileRefused("empty", "There is nothing in the file.")
            raise FileRefused("no_rows", "The file has only blank lines.")

    def _read(self, piece: bytes) -> Iterator[NdjsonRow]:
        if not self._is_begun:
            self._is_begun = True
            encoding, mark = encoding_of(piece, None)
            if encoding != "utf-8":
                detail = (
                    f"The file is {encoding.upper()}, and JSON is UTF-8 (RFC 8259, section 8.1)."
                )
                raise FileRefused("encoding_invalid", detail, line=1, offset=0)
            self._offset = mark
            piece = piece.removeprefix(codecs.BOM_UTF8)
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield from self._row(line, line_end=1)
        if len(rest) > LINE_BYTES_MAX or self._passed_over:
            self._passed_over += len(rest)
            rest = b""
        self._rest = rest

    def _row(self, line: bytes, *, line_end: int) -> Iterator[NdjsonRow]:
        size, self._passed_over = self._passed_over + len(line), 0
        self._offset += size + line_end
        self._lines += 1
        if size > LINE_BYTES_MAX:
            detail = f"Line {self._lines} is longer than {LINE_BYTES_MAX // 1024} KiB."
            yield self._bad("line_too_long", detail)
        elif line.strip(_BLANK):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte, column = error.object[error.start], error.start + 1
                detail = f"Line {self._lines} is not UTF-8: its byte {column} is 0x{byte:02X}."
                yield self._bad("line_not_utf8", detail)
            else:
                self._rows += 1
                yield NdjsonRow(self._rows, line, None, self._offset, self._lines)

    def _bad(self, code: str, detail: str) -> NdjsonRow:
        self._rows += 1
        fault = RowFault(row=self._rows, code=code, detail=detail)
        return NdjsonRow(self._rows, b"", fault, self._offset, self._lines)
