"""What looks like a mistake about a file, and is none that it could be refused for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdp.file_formats.csv_rows import CsvLayout
from cdp.file_formats.headers import DELIMITERS
from cdp.file_formats.reading import FileKind, kind_of
from cdp.file_formats.text import encoding_named

FILE_WARNINGS: Final[Mapping[str, str]] = {
    "format_assumed": "Neither the upload nor the name says what it is: it is read as CSV.",
    "option_unused": "An encoding or a delimiter is declared, and NDJSON has none of them.",
    "encoding_overruled": "The byte order mark says another encoding than is declared, and counts.",
    "delimiter_in_name": "A column's name holds a delimiter, as if the file had another one.",
    "header_like_data": "A column's name holds an @, as if the header were missing.",
}
"""What may be meant otherwise."""
_WORDS: Final[Mapping[str, str]] = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWarning:
    """One thing that may be a mistake."""

    code: str
    """One of `FILE_WARNINGS`."""
    detail: str
    column: str = ""
    """The header of the column, as it was written; empty where it is of none."""


def warnings_of(
    name: str, options: Mapping[str, Any], kind: FileKind, layout: CsvLayout | None
) -> list[FileWarning]:
    """What may be a mistake.

    Args:
        name: of the file, for people.
        options: format, encoding and delimiter, where they are declared.
        kind: what it is read as.
        layout: of a CSV, if its header could be read.
    """
    return list(_warnings(name, options, kind, layout))


def _warnings(
    name: str, options: Mapping[str, Any], kind: FileKind, layout: CsvLayout | None
) -> Iterator[FileWarning]:
    if "format" not in options and kind_of(name) is None:
        detail = "Neither the upload nor the file's name says what it is. It is read as CSV."
        yield FileWarning(code="format_assumed", detail=detail)
    if kind is FileKind.NDJSON:
        for option in ("encoding", "delimiter"):
            if option in options:
                detail = f"NDJSON has no {option}: the one that is declared counts for nothing."
                yield FileWarning(code="option_unused", detail=detail)
    if layout is not None:
        declared = options.get("encoding")
        if declared is not None and layout.encoding != encoding_named(declared):
            detail = f"The byte order mark says {layout.encoding}, and not {declared}. It counts."
            yield FileWarning(code="encoding_overruled", detail=detail)
        for column in layout.header:
            yield from _of_column(column)


def _of_column(column: str) -> Iterator[FileWarning]:
    held = next((delimiter for delimiter in DELIMITERS if delimiter in column), None)
    if held is not None:
        detail = f"The name of a column holds a {_WORDS[held]}. Declare that if it separates cells."
        yield FileWarning(code="delimiter_in_name", detail=detail, column=column)
    if "@" in column:
        detail = "The name of a column holds an @. The first row must be the header."
        yield FileWarning(code="header_like_data", detail=detail, column=column)
