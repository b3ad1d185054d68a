"""Writes CSV (RFC 4180) that a person may open: no cell is one that a spreadsheet would run.

What was changed for that is changed back when such a file is read again, by `plain_cell`.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

BOM: Final = b"\xef\xbb\xbf"
"""What makes spreadsheets read a file as UTF-8."""
CONTENT_TYPE: Final = b"text/csv; charset=utf-8"

# Quotes that stood there before are covered too, or changing back would take one of those.
_RUNNABLE: Final = re.compile(r"'*[=+\-@\t\r]")
"""What a spreadsheet would run (OWASP ASVS 1.2.10), maybe with quotes in front already."""


def csv_cell(value: Any, *, raw: bool = False) -> str:
    """A cell's text.

    Args:
        value: None is an empty cell, a time is as in RFC 3339.
        raw: for machines: leave it as it is, even if a spreadsheet would take it for a formula.
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = str(value)
    return f"'{text}" if not raw and _RUNNABLE.match(text) else text


def plain_cell(text: str) -> str:
    """The text that `csv_cell` was given."""
    return text[1:] if text[:1] == "'" and _RUNNABLE.match(text) else text


def csv_lines(rows: Iterable[Sequence[Any]], *, raw: bool = False, bom: bool = False) -> bytes:
    """Rows as CSV in UTF-8, with CRLF behind each.

    Args:
        rows: their cells, as `csv_cell` takes them.
        raw: as there.
        bom: begin with a byte order mark; for the first piece of a file that a person opens.
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows([csv_cell(value, raw=raw) for value in row] for row in rows)
    return (BOM if bom else b"") + text.getvalue().encode()
