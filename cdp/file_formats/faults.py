"""What can be wrong with a file, and with one row of it.

A file is refused where its rows can't be told apart, or are no text, any more; what came before is
not taken back by that. Everything else is a fault of one row, and of no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FILE_FAULTS: Final[Mapping[str, str]] = {
    "archive_invalid": "It begins like gzip or zip, and is not whole or not what its sums say.",
    "archive_unsupported": "A zip with a password, in several parts, in a rare method; or XLSX.",
    "archive_members": "A zip or gzip holds several files, or none.",
    "archive_ratio": "It grows too much when it is decompressed.",
    "too_large": "It has more bytes, decompressed, than are allowed.",
    "empty": "There is nothing in it.",
    "no_rows": "There is a header, or blank lines, and no row.",
    "encoding_unknown": "The encoding that was declared is none of those that are known.",
    "encoding_invalid": "A byte is none of the encoding.",
    "nul": "There is a NUL in it.",
    "row_too_long": "A row, with all that its quotes hold, is too long.",
    "quote_open": "A quote is opened and never closed.",
    "delimiter_unknown": "The delimiter that was declared is none of those that are known.",
    "header_invalid": "The header is no CSV.",
    "columns_too_many": "The header has too many columns.",
    "column_nameless": "A column has no name.",
    "column_twice": "Two columns have one name, or say one thing.",
    "column_conflict": "A column is inside of what another one is, such as `a.b` and `a`.",
    "column_forbidden": "A column's name is none that may be used.",
    "channel_unknown": "The upload's channel is none that there is.",
    "channel_missing": "Neither the upload nor a column says what the channel is.",
    "address_missing": "No column has the address.",
}
"""Why a file is not read, or not read on."""

ROW_FAULTS: Final[Mapping[str, str]] = {
    "cells_missing": "The row has fewer cells than the header.",
    "cells_too_many": "The row has more cells than the header.",
    "quote_invalid": "Something stands between a closing quote and the next delimiter.",
    "line_too_long": "A line of NDJSON is too long.",
    "line_not_utf8": "A line of NDJSON is not UTF-8.",
    "channel_unknown": "The row's channel is none that there is, or there is none.",
    "address_missing": "No column has the address of the row's channel.",
    "column_foreign": "There is something in a column that only other channels have.",
    "boolean_invalid": "The cell is none of true, false, yes, no, 1 and 0.",
    "number_invalid": "The cell is no whole number.",
}
"""Why one row is not taken, before the request that it makes is looked at."""


class FileRefused(Exception):
    """A file is not read, or not read on."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        line: int | None = None,
        offset: int | None = None,
        column: str | None = None,
    ) -> None:
        """Say why.

        Args:
            code: one of `FILE_FAULTS`.
            detail: a sentence for the one who made the file.
            line: where, counted from 1 in all of the lines.
            offset: where, as bytes from the beginning of the decompressed file.
            column: the header of the column, as it was written.
        """
        assert code in FILE_FAULTS
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.line = line
        self.offset = offset
        self.column = column


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFault:
    """One thing that is wrong with one row."""

    row: int
    """Counted from 1, without the header and blank lines."""
    code: str
    """One of `ROW_FAULTS`, or the code of a request's error."""
    detail: str
    column: str = ""
    """The header of the column, as it was written; empty where it is no single one's matter."""
    pointer: str = ""
    """Where, in the request that the row makes: a JSON pointer (RFC 6901)."""
