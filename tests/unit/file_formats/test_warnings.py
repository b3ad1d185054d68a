"""What looks like a mistake is said, and what does not is left alone."""

import pytest

from cdp.file_formats.csv_rows import CsvLayout
from cdp.file_formats.reading import FileKind
from cdp.file_formats.warnings import FILE_WARNINGS, warnings_of


def codes(name="people.csv", options=None, *, kind=FileKind.CSV, header=(), encoding="utf-8"):
    layout = CsvLayout(encoding=encoding, delimiter=",", header=header) if header else None
    found = warnings_of(name, options or {}, kind, layout)
    assert all(warning.code in FILE_WARNINGS for warning in found)
    return [(warning.code, warning.column) for warning in found]


@pytest.mark.parametrize(
    ("name", "options", "assumed"),
    [
        ("people.csv", {}, False),
        ("people.txt.gz", {}, False),
        ("people.zip", {}, True),
        ("people", {}, True),
        ("people", {"format": "csv"}, False),
    ],
)
def test_a_format_that_nothing_says_is_assumed(name, options, assumed):
    assert codes(name, options) == ([("format_assumed", "")] if assumed else [])


def test_options_of_csv_count_for_nothing_in_ndjson():
    options = {"encoding": "utf-8", "delimiter": ";"}

    assert codes("a.ndjson", options, kind=FileKind.NDJSON) == [("option_unused", "")] * 2
    assert codes("a.ndjson", {}, kind=FileKind.NDJSON) == []


@pytest.mark.parametrize(
    ("declared", "found", "codes_of"),
    [
        ("windows-1252", "utf-8", [("encoding_overruled", "")]),
        ("utf-16-le", "utf-16-be", [("encoding_overruled", "")]),
        ("cp1252", "windows-1252", []),
        ("UTF8", "utf-8", []),
    ],
)
def test_an_encoding_counts_unless_the_mark_says_another(declared, found, codes_of):
    assert codes(options={"encoding": declared}, header=("email",), encoding=found) == codes_of


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_delimiter_in_a_name_may_be_the_files_own(delimiter):
    name = f"email{delimiter}city"

    assert codes(header=(name, "x")) == [("delimiter_in_name", name)]


def test_a_name_like_an_address_may_be_the_first_row():
    assert codes(header=("ada@example.org", "Lyon")) == [("header_like_data", "ada@example.org")]
    assert codes(header=("email", "city", "Points: total")) == []
