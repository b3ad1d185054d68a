"""A mark or a declaration says what the encoding is; nothing is guessed."""

import pytest

from cdp.file_formats.csv_rows import CsvReader
from cdp.file_formats.faults import FileRefused
from cdp.file_formats.text import ENCODINGS, encoding_named
from tests.unit.file_formats.sources import cells_of, read, refusal_of

TEXT = "name,city\r\nJosé,Köln\r\n"
ROW = [["José", "Köln"]]


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        b"\xff\xfe" + TEXT.encode("utf-16-le"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
    ],
)
@pytest.mark.parametrize("declared", [{}, {"encoding": "utf-8"}])
def test_a_byte_order_mark_decides(raw, declared):
    assert cells_of(raw, **declared) == ROW


@pytest.mark.parametrize("encoding", sorted(set(ENCODINGS) - {"windows-1251"}))
def test_what_was_declared_decides_without_a_mark(encoding):
    assert cells_of(TEXT.encode(encoding), encoding=encoding) == ROW


def test_a_mark_is_stronger_than_what_was_declared():
    assert cells_of(b"\xff\xfe" + TEXT.encode("utf-16-le"), encoding="windows-1252") == ROW


def test_cyrillic_is_read():
    raw = "имя,город\r\nЮлия,Лондон\r\n".encode("cp1251")

    assert cells_of(raw, encoding="windows-1251") == [["Юлия", "Лондон"]]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("UTF8", "utf-8"),
        ("US-ASCII", "utf-8"),
        ("Latin-1", "iso-8859-1"),
        ("ISO_8859-15", "iso-8859-15"),
        ("CP1252", "windows-1252"),
        ("UTF-16LE", "utf-16-le"),
    ],
)
def test_an_encoding_has_several_names(name, encoding):
    assert encoding_named(name) == encoding


@pytest.mark.parametrize("name", ["", "shift_jis", "utf-7", "idna", "rot13", "base64", "utf-16"])
def test_an_encoding_that_is_not_in_the_list_is_refused(name):
    with pytest.raises(FileRefused) as refused:
        CsvReader(encoding=name)

    assert refused.value.code == "encoding_unknown"


def test_a_delimiter_that_is_not_in_the_list_is_refused():
    with pytest.raises(FileRefused) as refused:
        CsvReader(delimiter="x")

    assert refused.value.code == "delimiter_unknown"


@pytest.mark.parametrize(
    ("tail", "offset"),
    [
        (b"\x00\xd8x\0\r\0\n\0", 22),  # half of a pair
        (b"x\0\r\0\n", 26),  # half of a character
    ],
)
def test_utf_16_that_breaks_off_is_refused_behind_the_rows_before_it(tail, offset):
    raw = b"\xff\xfe" + "a,b\r\n1,2\r\n".encode("utf-16-le") + tail

    rows, refusal = read(CsvReader(), [raw])

    assert [row.cells for row in rows] == [["1", "2"]]
    assert refusal is not None
    assert (refusal.code, refusal.line, refusal.offset) == ("encoding_invalid", 3, offset)


def test_positions_in_utf_16_count_the_bytes_of_the_file():
    raw = b"\xff\xfe" + "a,b\r\n😀,ü\r\n3,4\r\n".encode("utf-16-le")

    rows, _ = read(CsvReader(), [raw])

    assert [row.offset for row in rows] == [24, 34]


def test_a_byte_that_windows_1252_has_not_is_refused():
    refusal = refusal_of(b"a,b\n1,\x81\n", encoding="windows-1252")

    assert (refusal.code, refusal.line, refusal.offset) == ("encoding_invalid", 2, 6)
