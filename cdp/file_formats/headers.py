"""The header of a CSV file: which delimiter it shows, and which names it may have."""

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Final

from cdp.file_formats.csv_output import plain_cell
from cdp.file_formats.faults import FileRefused

COLUMNS_MAX: Final = 200
NAME_CHARS_MAX: Final = 200
DELIMITERS: Final = (",", ";", "\t", "|")
"""Of two that are as frequent, the first one is it."""

_WORDS: Final[Mapping[str, str]] = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "bar": "|",
    **{delimiter: delimiter for delimiter in DELIMITERS},
}
_QUOTED: Final = re.compile(r'"[^"]*+"')
_IGNORED: Final = re.compile(r"[\s_\-]+")


def delimiter_named(name: str) -> str:
    """The one of `DELIMITERS` that is meant, by itself or as a word.

    Raises:
        FileRefused: none is.
    """
    found = _WORDS.get(name if name == "\t" else name.strip().lower())
    if found is None:
        detail = "The delimiter must be one of: comma, semicolon, tab, bar."
        raise FileRefused("delimiter_unknown", detail)
    return found


def delimiter_of(header: str) -> str:
    """The one that is most frequent outside of quotes."""
    bare = _QUOTED.sub("", header)
    return max(DELIMITERS, key=bare.count)


def folded(name: str) -> str:
    """A column's name as it is compared: without case, spaces, `_` and `-`."""
    return _IGNORED.sub("", name).casefold()


def header_of(lines: Sequence[str], delimiter: str, *, line: int) -> tuple[str, ...]:
    """The names of the columns, as they are written, but for spaces around them.

    Args:
        lines: of the header; several if there are line breaks in quotes.
        delimiter: between two names.
        line: the number of the first one, for what is said of errors.

    Raises:
        FileRefused: it is no CSV, or its names won't do.
    """
    try:
        cells = next(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        detail = "The header is no CSV: something stands behind a closing quote."
        raise FileRefused("header_invalid", detail, line=line) from None
    names = tuple(plain_cell(cell.strip()).strip() for cell in cells)
    if len(names) > COLUMNS_MAX:
        detail = f"There are {len(names)} columns, and at most {COLUMNS_MAX} are read."
        raise FileRefused("columns_too_many", detail, line=line)
    seen: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        key = folded(name)
        if not key:
            raise FileRefused("column_nameless", f"Column {number} has no name.", line=line)
        if len(name) > NAME_CHARS_MAX:
            detail = f"The name of column {number} is longer than {NAME_CHARS_MAX} characters."
            raise FileRefused("column_forbidden", detail, line=line)
        if key in seen:
            detail = (
                f"The columns {seen[key]!r} and {name!r} have one name: case, spaces, _ and - "
                "don't count."
            )
            raise FileRefused("column_twice", detail, line=line, column=name)
        seen[key] = name
    return names
