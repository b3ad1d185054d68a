"""What is written is CSV that a person may open, and that is read again as it was."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.file_formats.csv_output import (
    BOM,
    csv_cell,
    csv_lines,
    plain_cell,
)
from tests.unit.file_formats.sources import cells_of

FORMULAS = ["=1+1", "+49151", "-1", "@SUM(1)", "\t=1", "\r=1"]
TEXTS = st.text(st.sampled_from("'=+-@\t\rab"), max_size=5)


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_cell_that_looks_like_a_formula_is_none(formula):
    assert csv_cell(formula) == f"'{formula}"
    assert csv_cell(formula, raw=True) == formula


@given(text=TEXTS)
def test_no_cell_begins_as_a_formula_and_each_is_told_back(text):
    cell = csv_cell(text)

    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert plain_cell(cell) == text


@pytest.mark.parametrize("text", ["", "a", "'", "'a", "o'neil", "a=b", " =1"])
def test_other_cells_are_left_as_they_are(text):
    assert csv_cell(text) == text
    assert plain_cell(text) == text


def test_cells_are_written_as_rfc_4180_says():
    at = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)

    written = csv_lines([["a", None, 1], ['say "no"', "x,y", "l\r\nm"], [at, "ü", True]])

    assert written == (
        'a,,1\r\n"say ""no""","x,y","l\r\nm"\r\n2026-11-27T09:30:00.000Z,ü,True\r\n'.encode()
    )


def test_a_byte_order_mark_is_put_where_it_is_asked_for():
    assert csv_lines([["a"]], bom=True) == BOM + b"a\r\n"
    assert cells_of(csv_lines([["a"], ["1"]], bom=True)) == [["1"]]
