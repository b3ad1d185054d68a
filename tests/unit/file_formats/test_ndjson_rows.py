"""NDJSON is read line by line, in any pieces, and from any line on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.file_formats.faults import FileRefused
from cdp.file_formats.ndjson_rows import LINE_BYTES_MAX, NdjsonReader
from cdp.http.body import SINGLE_BYTES_MAX
from tests.unit.file_formats.sources import pieces

SOUP = st.lists(st.sampled_from([b"{}", b"\n", b"\r\n", b" ", b"\xff", "ü".encode()])).map(b"".join)
SIZES = st.lists(st.integers(0, 10), max_size=20)


def read(reader, chunks):
    rows = []
    try:
        for chunk in chunks:
            rows += reader.feed(chunk)
        rows += reader.end()
    except FileRefused as refusal:
        return rows, refusal.code
    return rows, None


def test_a_line_may_be_as_long_as_the_body_of_a_post():
    assert LINE_BYTES_MAX == SINGLE_BYTES_MAX


@given(soup=SOUP, sizes=SIZES)
def test_the_pieces_make_no_difference(soup, sizes):
    assert read(NdjsonReader(), pieces(soup, sizes)) == read(NdjsonReader(), [soup])


@given(soup=SOUP, mark=st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_from_every_line_on_the_rest_is_the_same(soup, mark):
    raw = mark + soup
    rows, refused = read(NdjsonReader(), [raw])

    for count, row in enumerate(rows, start=1):
        rest = read(NdjsonReader(row.position), [raw[row.offset :]])

        assert rest == (rows[count:], refused)


def test_lines_are_given_as_they_are_and_blank_ones_are_not_counted():
    rows, _ = read(NdjsonReader(), [b'\xef\xbb\xbf{"a": "\xc3\xbc"}\r\n\n  \n[1]\nno json'])

    assert rows[-1].position == (3, 31, 5)
    assert [(row.number, row.line, row.offset, row.lines) for row in rows] == [
        (1, b'{"a": "\xc3\xbc"}\r', 16, 1),
        (2, b"[1]", 24, 4),
        (3, b"no json", 31, 5),
    ]


def test_a_line_that_is_not_utf_8_is_its_own_matter():
    rows, refused = read(NdjsonReader(), [b'{"a":1}\n{"a":"\xfc"}\n{"a":3}\n'])

    assert refused is None
    assert [row.fault and row.fault.code for row in rows] == [None, "line_not_utf8", None]
    assert rows[1].fault.detail == "Line 2 is not UTF-8: its byte 7 is 0xFC."


@pytest.mark.parametrize("size", [LINE_BYTES_MAX, LINE_BYTES_MAX + 1])
def test_a_line_may_be_just_as_long_as_it_may(size):
    rows, _ = read(NdjsonReader(), [b"x" * size + b"\n{}"])

    assert (rows[0].fault is None) == (size == LINE_BYTES_MAX)
    assert rows[1].line == b"{}"
    assert rows[0].offset == size + 1


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty"),
        (b"\n \r\n", "no_rows"),
        (b"\xff\xfe{\0}\0", "encoding_invalid"),
    ],
)
def test_what_is_no_ndjson_is_refused(raw, code):
    assert read(NdjsonReader(), [raw]) == ([], code)
