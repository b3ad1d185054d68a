"""Items are cut out of a batch exactly where JSON and line ends put them."""

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.http.body import SINGLE_BYTES_MAX
from cdp.http.items import LEVELS, STRETCH_BYTES_MAX, array_items, line_items
from cdp.http.problems import Malformed

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


async def pieces_of(raw: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), size):
        yield raw[start : start + size]


@given(
    items=st.lists(values, min_size=1, max_size=8),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
async def test_an_array_is_cut_into_the_elements_that_json_sees(items, indent, ascii_only):
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only)
    raw = text.encode("utf-8", "surrogatepass")

    cut = [item async for item in array_items(raw)]

    assert [json.loads(item) for item in cut] == items


@given(depth=st.integers(LEVELS - 2, LEVELS + 2), broken=st.integers(0, 2))
async def test_items_that_nest_deeper_than_one_match_looks_are_cut_alike(depth, broken):
    deep = b'{"a": [1, ' * depth + b'"],}"' + b"]}" * depth
    items = [b"1", deep, b'{"b": "c,"}', deep + b" "]
    # What is no JSON is cut all the same: its parser says what is wrong with it alone.
    items[broken] = b"{]" + items[broken]

    assert [item async for item in array_items(b"[" + b",".join(items) + b"]")] == items


@pytest.mark.parametrize("length", [-1, 0, 1, STRETCH_BYTES_MAX])
async def test_an_item_longer_than_one_stretch_is_cut_whole(length):
    text = b'"' + b"x," * ((STRETCH_BYTES_MAX + length) // 2) + b'"'
    items = [text, b'{"a": %b}' % text, b"2"]

    assert [item async for item in array_items(b"[" + b",".join(items) + b"]")] == items


@pytest.mark.parametrize("raw", [b"[", b"[1", b'["a', b"[1}", b"[1]]", b"[[1]", b"[" * 40])
async def test_an_array_that_does_not_close_is_refused(raw):
    with pytest.raises(Malformed):
        _ = [item async for item in array_items(raw)]


@given(items=st.lists(values, min_size=1, max_size=8), size=st.integers(1, 50))
async def test_lines_are_the_same_however_they_arrive(items, size):
    raw = b"\r\n".join(json.dumps(item).encode() for item in items)

    cut = [item async for item in line_items(pieces_of(raw, size))]

    assert [json.loads(item) for item in cut] == items


async def test_a_line_without_end_is_not_kept_in_memory():
    raw = b"{}\n" + b"x" * (3 * SINGLE_BYTES_MAX) + b"\n{}"

    cut = [item async for item in line_items(pieces_of(raw, 65_536))]

    assert [cut[0], cut[2]] == [b"{}", b"{}"]
    assert SINGLE_BYTES_MAX < len(cut[1]) <= SINGLE_BYTES_MAX + 2 * 65_536
