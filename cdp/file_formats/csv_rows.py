"""Reads CSV (RFC 4180) row by row, from bytes in any pieces, and goes on where it was left.

The standard library's parser does the work; here it is fed with whole lines, and counted how many
bytes each row took. What is read at once has a fixed size, so that neither the rows nor where they
end depend on how the bytes came.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cdp.file_formats.faults import FileRefused, RowFault
from cdp.file_formats.headers import delimiter_named, delimiter_of, header_of
from cdp.file_formats.text import BOM_BYTES_MAX, TextDecoder, encoding_named, encoding_of

ROW_BYTES_MAX: Final = 64 * 1024
"""Of one row, with its line end. In UTF-16: as the same text has in UTF-8."""
PIECE_BYTES: Final = 64 * 1024
"""What is read at once. If it were much less, a long row would be begun again and again."""


class Position(NamedTuple):
    """Between two rows: what is behind it can be read without what is in front."""

    rows: int
    """Read before it."""
    offset: int
    """As bytes of the decompressed file."""
    lines: int
    """Read before it, with the header's and blank ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvLayout:
    """What the beginning of a file says of the rest."""

    encoding: str
    """One of `ENCODINGS`."""
    delimiter: str
    header: tuple[str, ...]
    """The columns as they are named, but for spaces around them."""


class CsvRow(NamedTuple):
    """A row that is not blank."""

    number: int
    """Counted from 1, without the header and blank rows."""
    cells: list[str]
    """As many as the header has, if there is no fault."""
    fault: RowFault | None
    offset: int
    lines: int

    @property
    def position(self) -> Position:
        """Behind it."""
        return Position(self.number, self.offset, self.lines)


class CsvReader:
    """Bytes in, rows out. Each of its iterators is to be exhausted before the next call.

    Once one has raised `FileRefused`, nothing more can be read; the rows before that are good.
    """

    def __init__(
        self,
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        """Begin with the first byte of a file.

        Args:
            encoding: what it is unless a byte order mark says otherwise; UTF-8 if left out.
            delimiter: one of `DELIMITERS` or a word for one; left out, the header shows it.
            piece_bytes: what is read at once; room for a byte order mark at least.

        Raises:
            FileRefused: one of them is not known.
        """
        assert piece_bytes >= BOM_BYTES_MAX
        self._piece_bytes = piece_bytes
        self._declared = None if encoding is None else encoding_named(encoding)
        self._delimiter = None if delimiter is None else delimiter_named(delimiter)
        self._decoder: TextDecoder | None = None
        self.layout: CsvLayout | None = None
        """Known once the header was read, which is before the first row is given."""
        self._rows = self._offset = self._lines = 0
        self._waiting = bytearray()
        self._rest = b""
        self._used = 0
        self._is_out_of_lines = False
        self._row_bytes = self._row_width = self._row_lines = 0

    @classmethod
    def resumed(cls, layout: CsvLayout, position: Position) -> "CsvReader":
        """Begin with the byte at `position.offset` of a file whose layout is known."""
        reader = cls()
        reader.layout = layout
        reader._decoder = TextDecoder(layout.encoding, offset=position.offset)
        reader._rows, reader._offset, reader._lines = position
        return reader

    @property
    def position(self) -> Position:
        """Behind the last row that was given, or the blank ones after it."""
        return Position(self._rows, self._offset, self._lines)

    def feed(self, chunk: bytes) -> Iterator[CsvRow]:
        """The rows that are known to be whole by these bytes; maybe only by later ones.

        Raises:
            FileRefused: it can't be read on.
        """
        self._waiting += chunk
        size = self._piece_bytes
        while len(self._waiting) >= size:
            piece = bytes(self._waiting[:size])
            del self._waiting[:size]
            yield from self._read(piece, last=False)

    def end(self) -> Iterator[CsvRow]:
        """The rest of the rows.

        Raises:
            FileRefused: the file ends within quotes, or had no rows at all.
        """
        yield from self._read(bytes(self._waiting), last=True)
        if self.layout is None:
            raise FileRefused("empty", "There is nothing in the file.")
        if not self._rows:
            raise FileRefused("no_rows", "The file has a header, and no rows.")

    def _read(self, piece: bytes, *, last: bool) -> Iterator[CsvRow]:
        if self._decoder is None:
            encoding, mark = encoding_of(piece, self._declared)
            self._offset = mark
            self._decoder = TextDecoder(encoding, offset=mark)
            piece = piece[mark:]
        data = self._rest + self._decoder.feed(piece, last=last)
        stop = self._decoder.stop
        lines = data.splitlines(keepends=True)
        # Behind a CR there may be its LF to come; and a line that breaks off is none.
        if lines and not (last and stop is None) and not lines[-1].endswith(b"\n"):
            lines.pop()
        self._used = 0
        if self.layout is None:
            lines = self._read_header(lines, self._decoder)
        if self.layout is not None:
            yield from self._records(lines, self.layout, self._decoder)
        self._rest = data[self._used :]
        self._forget_row()
        if len(self._rest) > ROW_BYTES_MAX:
            raise self._too_long(is_quoted=len(self._rest.splitlines()) > 1)
        if stop is not None:
            # A CR in front of it may have been the half of a line end.
            line = self._lines + len((self._rest.removesuffix(b"\r") + b"x").splitlines())
            raise FileRefused(stop.code, stop.detail, line=line, offset=stop.offset)
        if last and self._rest:
            detail = f"A quote is opened in the row of line {self._lines + 1}, and never closed."
            raise FileRefused("quote_open", detail, line=self._lines + 1, offset=self._offset)

    def _records(
        self, lines: Sequence[bytes], layout: CsvLayout, decoder: TextDecoder
    ) -> Iterator[CsvRow]:
        reader = csv.reader(self._texts(lines, decoder), delimiter=layout.delimiter, strict=True)
        columns = len(layout.header)
        self._is_out_of_lines = False
        while not self._is_out_of_lines:
            fault = None
            try:
                for cells in reader:
                    self._take_row()
                    # Spreadsheets leave rows of nothing but delimiters.
                    if not any(cells) or (len(cells) == 1 and not cells[0].strip()):
                        continue
                    self._rows += 1
                    fault = None if len(cells) == columns else self._ragged(cells, columns)
                    yield CsvRow(self._rows, cells, fault, self._offset, self._lines)
            except csv.Error:
                # At the end of the lines it is only that the row's quotes close later.
                if not self._is_out_of_lines:
                    line = self._lines + 1
                    self._take_row()
                    self._rows += 1
                    fault = self._stray_quote(line)
                    yield CsvRow(self._rows, [], fault, self._offset, self._lines)

    def _texts(self, lines: Sequence[bytes], decoder: TextDecoder) -> Iterator[str]:
        text, width = decoder.text, decoder.width
        for line in lines:
            size = self._row_bytes + len(line)
            if size > ROW_BYTES_MAX:
                raise self._too_long(is_quoted=self._row_lines > 0)
            begin = self._row_width
            self._row_bytes = size
            self._row_width = begin + width(line)
            self._row_lines += 1
            try:
                yield text(line)
            except UnicodeDecodeError as error:
                stop = decoder.undecodable(error, self._offset + begin)
                raise FileRefused(
                    stop.code,
                    stop.detail,
                    line=self._lines + self._row_lines,
                    offset=stop.offset,
                ) from None
        self._is_out_of_lines = True

    def _read_header(self, lines: list[bytes], decoder: TextDecoder) -> list[bytes]:
        """Take the header, if all of it is there; the lines behind it."""
        taken: list[str] = []
        quotes = 0
        for index, text in enumerate(self._texts(lines, decoder), start=1):
            if not taken and not text.strip():
                self._take_row()
                continue
            taken.append(text)
            quotes += text.count('"')
            if quotes % 2 == 0:
                delimiter = self._delimiter or delimiter_of("".join(taken))
                header = header_of(taken, delimiter, line=self._lines + 1)
                self._take_row()
                self.layout = CsvLayout(
                    encoding=decoder.encoding, delimiter=delimiter, header=header
                )
                return lines[index:]
        return []

    def _take_row(self) -> None:
        self._offset += self._row_width
        self._used += self._row_bytes
        self._lines += self._row_lines
        self._forget_row()

    def _forget_row(self) -> None:
        self._row_bytes = self._row_width = self._row_lines = 0

    def _ragged(self, cells: Sequence[str], columns: int) -> RowFault:
        return RowFault(
            row=self._rows,
            code="cells_missing" if len(cells) < columns else "cells_too_many",
            detail=f"The row has {len(cells)} cells, and the header has {columns}.",
        )

    def _stray_quote(self, line: int) -> RowFault:
        detail = (
            f"In the row of line {line} something stands between a closing quote and the next "
            "delimiter."
        )
        return RowFault(row=self._rows, code="quote_invalid", detail=detail)

    def _too_long(self, *, is_quoted: bool) -> FileRefused:
        line, kib = self._lines + 1, ROW_BYTES_MAX // 1024
        if is_quoted:
            detail = f"A quote is opened in the row of line {line}, and not closed in {kib} KiB."
            return FileRefused("quote_open", detail, line=line, offset=self._offset)
        detail = f"The row of line {line} is longer than {kib} KiB."
        return FileRefused("row_too_long", detail, line=line, offset=self._offset)
