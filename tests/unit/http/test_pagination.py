"""Cursors are opaque, and good for one client and one list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.ids import ClientId
from cdp.http.pagination import make_cursor, read_cursor
from cdp.http.problems import BadCursor

KEY = b"k" * 32
ME, OTHER = ClientId(b"a" * 16), ClientId(b"b" * 16)


@given(position=st.binary(max_size=100), scope=st.text(max_size=50))
def test_a_cursor_leads_back_to_its_position(position, scope):
    cursor = make_cursor(position, client_id=ME, scope=scope, key=KEY)

    assert cursor.isascii()
    assert read_cursor(cursor, client_id=ME, scope=scope, key=KEY) == position
    with pytest.raises(BadCursor):
        read_cursor(cursor, client_id=OTHER, scope=scope, key=KEY)
    with pytest.raises(BadCursor):
        read_cursor(cursor, client_id=ME, scope=scope + "x", key=KEY)


@given(st.text(max_size=500))
def test_any_other_text_is_no_cursor(text):
    with pytest.raises(BadCursor):
        read_cursor(text, client_id=ME, scope="s", key=KEY)
