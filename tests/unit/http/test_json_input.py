"""What passes can be stored; what does not is named by its pointer."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import Invalid, pointer_of
from cdp.http.communication_models import CommunicationIn
from cdp.http.json_input import DEPTH_MAX, INT_MAX, INT_MIN, loads, validate
from cdp.http.problems import Malformed

texts = st.text(st.characters(codec=None)) | st.sampled_from(["$ne", "a\0", "\ud800", "$", "é"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


def is_storable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(
            is_storable(name) and not name.startswith("$") and is_storable(child)
            for name, child in value.items()
        )
    if isinstance(value, list):
        return all(is_storable(child) for child in value)
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, bool) or value is None:
        return True
    return INT_MIN <= value <= INT_MAX if isinstance(value, int) else math.isfinite(value)


@given(value=values, ascii_only=st.booleans())
def test_exactly_what_mongodb_can_hold_passes(value, ascii_only):
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    if is_storable(json.loads(raw)):
        assert loads(raw) == json.loads(raw)
    else:
        with pytest.raises(Invalid) as refused:
            loads(raw)
        assert refused.value.errors
        orjson.dumps([error.pointer for error in refused.value.errors])


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_json_or_are_refused(raw):
    try:
        value = loads(raw)
    except (Malformed, Invalid):
        return
    assert value == json.loads(raw)


@pytest.mark.parametrize("inside", [b"", b"1", b'"$"'])
def test_the_depth_has_a_limit(inside):
    loads(b"[" * DEPTH_MAX + inside + b"]" * DEPTH_MAX)

    with pytest.raises(Invalid) as refused:
        loads(b"[" * (DEPTH_MAX + 1) + inside + b"]" * (DEPTH_MAX + 1))

    assert refused.value.errors[0].code == "too_deep"


def test_a_pointer_is_escaped_and_short():
    assert pointer_of(("a/b", "c~d", 0)) == "/a~1b/c~0d/0"
    assert len(pointer_of(("x" * 10_000,))) == 200


@given(values)
def test_the_model_refuses_with_pointers_or_takes(value):
    try:
        validate(CommunicationIn, value)
    except Invalid as refused:
        assert all(isinstance(error.pointer, str) for error in refused.errors)  # noqa: PT017


@pytest.mark.parametrize(
    ("changes", "pointer", "detail"),
    [
        ({"priority": "urgent"}, "/priority", "Input should be 'high', 'normal' or 'low'."),
        (
            {"channel": "fax"},
            "/channel",
            "Input should be one of 'email', 'sms', 'push', 'in_app', 'webhook'.",
        ),
    ],
)
def test_a_word_that_is_none_of_ours_is_answered_with_those_that_are(changes, pointer, detail):
    given = {"channel": "email", "to": [{"email": "ada@example.org"}], "template": "t"}

    with pytest.raises(Invalid) as refused:
        validate(CommunicationIn, given | changes)

    [error] = refused.value.errors
    assert (error.pointer, error.code, error.detail) == (pointer, "literal_error", detail)
