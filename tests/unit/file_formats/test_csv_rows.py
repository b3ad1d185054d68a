"""CSV is read as RFC 4180 says, in any pieces, and from any row on."""

from hypothesis import example, given
from hypothesis import strategies as st

from cdp.file_formats.csv_output import csv_lines
from cdp.file_formats.csv_rows import PIECE_BYTES, ROW_BYTES_MAX, CsvReader, Position
from tests.unit.file_formats.sources import cells_of, pieces, read

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
CELLS = st.lists(TEXT, min_size=3, max_size=3).filter(any)
# What is no CSV as often as what is.
SOUP = st.lists(
    st.sampled_from(["a", '"', '""', ",", "\r", "\n", "\r\n", "ä", "\u2028", "😀", " "]),
    max_size=40,
).map("".join)
SIZES = st.lists(st.integers(0, 30), max_size=20)
ENCODED = {
    "utf-8": str.encode,
    "utf-16-le": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "utf-16-be": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
}
ENCODINGS = st.sampled_from(list(ENCODED))


def outcome(raw, sizes, piece_bytes):
    """All that is said of a file by a reader that takes so many bytes at once."""
    reader = CsvReader(piece_bytes=piece_bytes)
    rows, refusal = read(reader, pieces(raw, sizes))
    said = refusal and (refusal.code, refusal.detail, refusal.line, refusal.offset)
    return rows, said, reader.layout


@given(rows=st.lists(CELLS, min_size=1, max_size=8), bom=st.booleans())
def test_what_is_written_is_read_again(rows, bom):
    data = csv_lines([["a", "b", "c"], *rows], raw=True, bom=bom)

    assert cells_of(data) == rows


@given(soup=SOUP, sizes=SIZES, encoding=ENCODINGS, piece=st.integers(3, 40))
@example(soup='"x\r\n"\r\r\n,', sizes=[3, 1, 1], encoding="utf-8", piece=3)
@example(soup="\r\r\n\n\r", sizes=[], encoding="utf-16-le", piece=5)
def test_the_pieces_make_no_difference(soup, sizes, encoding, piece):
    raw = ENCODED[encoding](f"a,b\r\n{soup}")

    # A reader that takes three bytes at once meets every cut that a real file may have.
    assert outcome(raw, sizes, piece) == outcome(raw, [], PIECE_BYTES)


@given(soup=SOUP, encoding=ENCODINGS)
def test_from_every_row_on_the_rest_is_the_same(soup, encoding):
    raw = ENCODED[encoding](f"a,b\r\n{soup}")
    reader = CsvReader()
    rows, refusal = read(reader, [raw])
    assert reader.layout is not None

    for count, row in enumerate(rows, start=1):
        resumed = CsvReader.resumed(reader.layout, row.position)
        rest, again = read(resumed, [raw[row.offset :]])

        assert rest == rows[count:]
        assert repr(again) == repr(refusal)
        assert (again and again.line) == (refusal and refusal.line)
        assert (again and again.offset) == (refusal and refusal.offset)


def test_rows_and_positions_of_a_long_file_are_the_same_in_any_chunks():
    text = "email,name,note\r\n" + "".join(
        f'p{n}@example.org,Ä {n},"line one\r\nline {"x" * (n % 50)}"\r\n' for n in range(8_000)
    )
    raw = text.encode()
    whole, _ = read(CsvReader(), [raw])

    small, _ = read(CsvReader(), (raw[at : at + 777] for at in range(0, len(raw), 777)))

    assert len(raw) > 5 * PIECE_BYTES
    assert small == whole
    assert [row.number for row in whole] == list(range(1, 8_001))
    assert whole[-1].position == Position(rows=8_000, offset=len(raw), lines=16_001)


def test_a_checkpoint_may_be_made_before_the_first_row():
    raw = b"\n\xc3\xbc,b\n1,2\n"
    reader = CsvReader(piece_bytes=7)

    assert list(reader.feed(raw[:7])) == []
    assert reader.layout is not None
    assert reader.position == Position(rows=0, offset=6, lines=2)

    rows, _ = read(CsvReader.resumed(reader.layout, reader.position), [raw[6:]])
    assert [row.position for row in rows] == [Position(rows=1, offset=10, lines=3)]


def test_quotes_hold_line_breaks_delimiters_and_quotes():
    raw = b'a,b\r\n"x\r\ny\n\rz","he said ""no"", then left"\r\n'

    assert cells_of(raw) == [["x\r\ny\n\rz", 'he said "no", then left']]


def test_lines_end_with_crlf_lf_or_cr_and_the_last_one_with_none():
    for end in (b"\r\n", b"\n", b"\r"):
        assert cells_of(end.join([b"a,b", b"1,2", b"3,4"])) == [["1", "2"], ["3", "4"]]


def test_blank_lines_are_no_rows():
    raw = b"\r\n  \na,b\n\n1,2\r\n   \r\n,\n,,\n3,4\n\n\n"
    rows, _ = read(CsvReader(), [raw])

    assert [(row.number, row.cells) for row in rows] == [(1, ["1", "2"]), (2, ["3", "4"])]


def test_characters_that_only_python_takes_for_line_ends_are_none():
    text = "a,b\nx\u2028y\x0b\x0c\x1c\x1d\x85,z\n"

    assert cells_of(text.encode()) == [["x\u2028y\x0b\x0c\x1c\x1d\x85", "z"]]


def test_the_header_shows_the_delimiter():
    for delimiter in (",", ";", "\t", "|"):
        header = delimiter.join(["one", '"two, and; a|half\t"', "three"])
        row = delimiter.join(["1", "2", "3"])

        assert cells_of(f"{header}\n{row}\n".encode()) == [["1", "2", "3"]]
    assert cells_of(b"one\n1\n") == [["1"]]


def test_a_declared_delimiter_counts():
    raw = b"a;b,c\n1;2,3\n"

    assert cells_of(raw, delimiter=",") == [["1;2", "3"]]
    assert cells_of(raw, delimiter="semicolon") == [["1", "2,3"]]
    assert cells_of(b"a\tb\n1\t2\n", delimiter="\t") == [["1", "2"]]


def test_a_row_with_cells_too_few_or_too_many_is_its_own_matter():
    rows, refusal = read(CsvReader(), [b"a,b\n1\n1,2,3\n1,2\n"])

    assert refusal is None
    assert [row.fault and row.fault.code for row in rows] == [
        "cells_missing",
        "cells_too_many",
        None,
    ]
    assert rows[1].fault is not None
    assert rows[1].fault.row == 2
    assert rows[1].fault.detail == "The row has 3 cells, and the header has 2."


def test_a_stray_quote_is_one_rows_matter():
    rows, refusal = read(CsvReader(), [b'a,b\n"x"y,1\n2,3\n4,a"b"\n'])

    assert refusal is None
    assert [(row.number, row.fault and row.fault.code) for row in rows] == [
        (1, "quote_invalid"),
        (2, None),
        (3, None),
    ]
    assert [row.cells for row in rows[1:]] == [["2", "3"], ["4", 'a"b"']]


def test_a_row_may_be_just_as_long_as_it_may():
    exact = b"x" * (ROW_BYTES_MAX - 3)

    [cells] = cells_of(b"a,b\n" + exact + b",1\n")

    assert len(cells[0]) == len(exact)
