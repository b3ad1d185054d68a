"""Items are cut out of a batch exactly where JSON and line ends put them."""

import json
from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from cdp.http.body import SINGLE_BYTES_MAX
from cdp.http.items import array_items, line_items

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
