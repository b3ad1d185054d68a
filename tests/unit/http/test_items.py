"""Items are cut out of a batch exactly where JSON and line ends put them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import CdpError, PayloadTooLarge
from cdp.http.body import SINGLE_BYTES_MAX
from cdp.http.items import (
    ITEMS_MAX,
    LEVELS,
    STRETCH_BYTES_MAX,
    Item,
    Parsed,
    array_items,
    cut_array,
    line_items,
)
from cdp.http.json_input import loads
from cdp.http.problems import Malformed

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


async def pieces_of(raw: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), size):
        yield raw[start : start + size]


async def cut(raw: bytes, *, stretch: int = STRETCH_BYTES_MAX) -> list[Item]:
    return [item async for item in array_items(raw, await cut_array(raw, stretch=stretch))]


def outcome(item: Item) -> Any:
    """What comes of an item when it is read."""
    if isinstance(item, Parsed):
        return item.value
    try:
        return loads(item)
    except CdpError as error:
        return type(error), str(error)


@given(
    items=st.lists(values, min_size=1, max_size=8),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
)
async def test_an_array_is_cut_into_the_elements_that_json_sees(items, indent, ascii_only):
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only)
    raw = text.encode("utf-8", "surrogatepass")

    found = await cut(raw)

    assert [i.value if isinstance(i, Parsed) else json.loads(i) for i in found] == items


@given(
    items=st.lists(
        values.map(lambda value: json.dumps({"a": value}))
        | values.map(json.dumps)
        | st.sampled_from(
            [
                '{"a":',
                "",
                " ",
                '{"a": "',
                "]",
                '{"a": "\\u0000"}',
                '{"$a": 1}',
                f"{10**19}",
                "[" * 40,
            ]
        ),
        min_size=1,
        max_size=12,
    ),
    joint=st.sampled_from([",", ", ", " ,\n"]),
    stretch=st.integers(8, 120),
)
async def test_items_read_in_stretches_are_those_read_one_by_one(items, joint, stretch):
    raw = b"[%b]" % joint.join(items).encode()
    try:
        one_by_one = await cut(raw, stretch=0)
    except CdpError as error:
        with pytest.raises(type(error)):
            await cut(raw, stretch=stretch)
        return

    assert not any(isinstance(item, Parsed) for item in one_by_one)
    found = await cut(raw, stretch=stretch)
    assert [outcome(item) for item in found] == [outcome(item) for item in one_by_one]


async def test_a_stretch_ends_where_items_do_whatever_stands_in_them():
    tricky = {"a": [{"a": 1}, {"a": ',{"a"'}], "b": '[1,{"a"'}
    items = [tricky | {"n": n} for n in range(200)]
    raw = json.dumps(items, separators=(",", ":")).encode()

    found = await cut(raw, stretch=500)

    assert [outcome(item) for item in found] == items
    assert sum(isinstance(item, Parsed) for item in found) > 0


async def test_more_items_than_a_batch_may_have_are_refused_before_all_are_held():
    for body in (b"[%b]", b"[%b, ]", b'[%b, {"a": 1}]'):
        with pytest.raises(PayloadTooLarge):
            await cut(body % b",".join([b'{"a": 1}'] * (ITEMS_MAX + 1)))


@given(depth=st.integers(LEVELS - 2, LEVELS + 2), broken=st.integers(0, 2))
async def test_items_that_nest_deeper_than_one_match_looks_are_cut_alike(depth, broken):
    deep = b'{"a": [1, ' * depth + b'"],}"' + b"]}" * depth
    items = [b"1", deep, b'{"b": "c,"}', deep + b" "]
    # What is no JSON is cut all the same: its parser says what is wrong with it alone.
    items[broken] = b"{]" + items[broken]

    found = await cut(b"[" + b",".join(items) + b"]")

    assert list(map(outcome, found)) == list(map(outcome, items))


@pytest.mark.parametrize("length", [-1, 0, 1, STRETCH_BYTES_MAX])
async def test_an_item_longer_than_one_stretch_is_cut_whole(length):
    text = b'"' + b"x," * ((STRETCH_BYTES_MAX + length) // 2) + b'"'
    items = [text, b'{"a": %b}' % text, b"2"]

    found = await cut(b"[" + b",".join(items) + b"]")

    assert list(map(outcome, found)) == list(map(outcome, items))


@pytest.mark.parametrize("raw", [b"[", b"[1", b'["a', b"[1}", b"[1]]", b"[[1]", b"[" * 40])
async def test_an_array_that_does_not_close_is_refused(raw):
    with pytest.raises(Malformed):
        await cut(raw)


@given(items=st.lists(values, min_size=1, max_size=8), size=st.integers(1, 50))
async def test_lines_are_the_same_however_they_arrive(items, size):
    raw = b"\r\n".join(json.dumps(item).encode() for item in items)

    found = [item async for item in line_items(pieces_of(raw, size))]

    assert [json.loads(item) for item in found] == items


async def test_a_line_without_end_is_not_kept_in_memory():
    raw = b"{}\n" + b"x" * (3 * SINGLE_BYTES_MAX) + b"\n{}"

    found = [item async for item in line_items(pieces_of(raw, 65_536))]

    assert [found[0], found[2]] == [b"{}", b"{}"]
    assert SINGLE_BYTES_MAX < len(found[1]) <= SINGLE_BYTES_MAX + 2 * 65_536
