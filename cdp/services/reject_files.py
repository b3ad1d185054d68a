"""The rejects of one stretch of a file, as CSV."""

from collections.abc import Iterable

from cdp.file_formats.csv_output import csv_lines
from cdp.file_formats.faults import RowFault
from cdp.ports.row_intake import FileRow

REJECT_COLUMNS = ("row", "column", "code", "reason", "text")


def rejects_part(rejected: Iterable[tuple[FileRow, RowFault]]) -> bytes:
    """Lines without a head: row, column, code, reason, and the row as it stands in the file."""
    return csv_lines(
        (row.number, fault.column, fault.code, fault.detail, row.text()) for row, fault in rejected
    )
