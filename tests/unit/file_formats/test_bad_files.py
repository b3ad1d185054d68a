"""Every bad file ends with a reason, early and in little memory."""

import time
import tracemalloc
from itertools import repeat

import pytest

from cdp.file_formats.csv_rows import ROW_BYTES_MAX, CsvReader
from cdp.file_formats.headers import COLUMNS_MAX
from cdp.file_formats.ndjson_rows import LINE_BYTES_MAX, NdjsonReader
from tests.unit.file_formats.sources import Tap, read, refusal_of

MIB = 1024 * 1024


@pytest.mark.parametrize("begin", [b"", b"a,b\n", b"a,b\n1,2\n3,", b'a,b\n1,"', b'"'])
def test_a_line_of_200_megabytes_is_refused_after_64_kilobytes(begin):
    lines = Tap([begin, *repeat(b"x" * 10_000, 20_000)])

    refusal = refusal_of(lines)

    assert refusal.code == "row_too_long"
    assert lines.taken < 4 * ROW_BYTES_MAX


def test_a_quote_that_is_never_closed_is_refused_after_64_kilobytes_with_its_line():
    lines = Tap([b'a,b\n1,2\n3,"4\n', *repeat(b"5,6\n" * 1_000, 50_000)])

    rows, refusal = read(CsvReader(), lines)

    assert [row.cells for row in rows] == [["1", "2"]]
    assert refusal is not None
    assert (refusal.code, refusal.line, refusal.offset) == ("quote_open", 3, 8)
    assert lines.taken < 4 * ROW_BYTES_MAX


def test_a_quote_that_is_open_at_the_end_is_refused_with_its_line():
    rows, refusal = read(CsvReader(), [b'a,b\n1,2\n\n3,"4\n5,6\n'])

    assert len(rows) == 1
    assert refusal is not None
    assert (refusal.code, refusal.line) == ("quote_open", 4)
    assert "line 4" in refusal.detail


def test_memory_stays_flat_and_time_bounded_over_a_long_file():
    row = b"p@example.org,Ada," + b"x" * 80 + b"\n"
    reader = CsvReader()
    chunk = row * 10_000
    tracemalloc.start()
    began = time.process_time()
    rows = 0
    for _ in reader.feed(b"email,name,note\n"):
        pass
    for _ in range(10):
        for _ in reader.feed(chunk):
            rows += 1
    for _ in reader.end():
        rows += 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rows == 100_000
    assert peak < 4 * MIB
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\xff\xfe", "empty"),
        (b"\r\n \n\n", "empty"),
        (b"a,b\n", "no_rows"),
        (b"a,b", "no_rows"),
        (b"a,b\n\n,\n", "no_rows"),
        (b"a,,c\n1,2,3\n", "column_nameless"),
        (b"a,b,\n1,2,3\n", "column_nameless"),
        (b"a, - ,c\n1,2,3\n", "column_nameless"),
        (b"Given Name,given_name\n1,2\n", "column_twice"),
        (b"a,b,A\n1,2,3\n", "column_twice"),
        (b'"a"b,c\n1,2\n', "header_invalid"),
        (b"x" * 201 + b"\n1\n", "column_forbidden"),
        (b'a,"b\n1,2\n', "quote_open"),
        (b",".join(b"c%d" % n for n in range(COLUMNS_MAX + 1)) + b"\n", "columns_too_many"),
        (b"\0" * 1_000, "nul"),
        (b"PNG\0a,b\n1,2\n", "nul"),
        ("a,b\n1,2\n".encode("utf-16-le"), "nul"),
        (b"\xff\xfe\0\0a\0\0\0", "nul"),
        (b"\x89PNG\r\n\x1a\n\xff\n", "encoding_invalid"),
    ],
)
def test_what_can_not_be_read_is_refused(raw, code):
    assert refusal_of(raw).code == code


def test_columns_may_be_just_as_many_as_they_may():
    raw = b",".join(b"c%d" % n for n in range(COLUMNS_MAX)) + b"\n" + b"1," * 199 + b"1\n"

    rows, refusal = read(CsvReader(), [raw])

    assert refusal is None
    assert len(rows[0].cells) == COLUMNS_MAX


def test_mixed_encodings_are_refused_where_they_mix_and_what_is_before_was_read():
    raw = "a,b\n1,ü\n3,4\n".encode() + "5,ü\n7,8\n".encode("windows-1252")

    rows, refusal = read(CsvReader(), [raw])

    assert [row.cells for row in rows] == [["1", "ü"], ["3", "4"]]
    assert refusal is not None
    assert (refusal.code, refusal.line, refusal.offset) == (
        "encoding_invalid",
        4,
        raw.index(b"\xfc"),
    )
    assert refusal.detail == (
        "The bytes 0xFC are not UTF-8. Declare the encoding if it is another."
    )


def test_a_nul_is_refused_where_it_is_and_what_is_before_was_read():
    rows, refusal = read(CsvReader(), [b'a,b\n1,2\n"x\ny\0",4\n5,6\n'])

    assert [row.cells for row in rows] == [["1", "2"]]
    assert refusal is not None
    assert (refusal.code, refusal.line, refusal.offset) == ("nul", 4, 12)


def test_a_line_of_ndjson_that_is_too_long_is_its_own_matter_and_not_kept():
    reader = NdjsonReader()
    tracemalloc.start()
    rows = list(reader.feed(b'{"a":1}\n'))
    for _ in range(200):
        rows += reader.feed(b"x" * MIB)
    rows += reader.feed(b'\n{"a":2}\n')
    rows += reader.end()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [(row.number, row.line, row.fault and row.fault.code) for row in rows] == [
        (1, b'{"a":1}', None),
        (2, b"", "line_too_long"),
        (3, b'{"a":2}', None),
    ]
    assert peak < 8 * LINE_BYTES_MAX
