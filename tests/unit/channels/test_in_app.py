"""What the user of an inbox and an entry in it may be."""

import json

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.channels.content import ContentFault, UnfitContent
from cdp.channels.in_app import finish, normalise_user


def test_a_user_is_named_as_the_client_likes():
    assert normalise_user("user|4711 Ünal") == "user|4711 Ünal"
    for bad in ("", "  ", "x" * 256, "a\nb", "a\0", "\ud800"):
        with pytest.raises(ValueError, match="a user is named"):
            normalise_user(bad)


@pytest.mark.parametrize(
    "action", ["https://example.com/x", "http://example.com", "/orders/7?tab=1"]
)
def test_an_action_leads_to_the_web_or_into_the_app(action):
    assert finish({"title": "t", "body": "b", "action_url": f" {action} "})["action_url"] == action


@pytest.mark.parametrize(
    "action",
    ["javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "//evil.example/", "/\\evil",
     "orders", "https://", "https://exa\nmple.com", "x" * 3_000],
)  # fmt: skip
def test_any_other_action_is_refused(action):
    with pytest.raises(UnfitContent) as refused:
        finish({"title": "t", "body": "b", "action_url": action})
    assert refused.value.fault.part == "action_url"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"title": " ", "body": ""}, "content_empty"),
        ({"title": "t", "data": "[1]"}, "content_not_json"),
        ({"title": "t", "body": "b" * 17_000}, "content_too_large"),
        ({"title": "t", "action_label": "l" * 201}, "content_too_large"),
    ],
)
def test_what_is_empty_or_too_large_is_refused(parts, code):
    with pytest.raises(UnfitContent) as refused:
        finish(parts)
    assert refused.value.fault.code == code


@pytest.mark.parametrize(
    "data",
    ['{"n": 18446744073709551615}', '{"n": 1e400}', '{"a\\u0000b": 1}', '{"a": ["\\ud800"]}',
     '{"a": ' * 33 + "1" + "}" * 33],
)  # fmt: skip
def test_data_that_only_a_template_could_write_is_refused_before_it_meets_the_inbox(data):
    with pytest.raises(UnfitContent) as refused:
        finish({"title": "t", "data": data})
    assert refused.value.fault == ContentFault(
        code="content_invalid", part="data", detail=refused.value.fault.detail
    )


CHARACTERS = st.characters(exclude_categories=())
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(CHARACTERS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(CHARACTERS), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(data=st.dictionaries(st.text(CHARACTERS), JSON_VALUES, max_size=3))
def test_whatever_data_is_taken_mongodb_can_hold(data):
    text = json.dumps(data)
    try:
        finish({"title": "t", "data": text})
    except UnfitContent:
        return
    assert bson.decode(bson.encode(json.loads(text))) == json.loads(text)


def test_an_action_that_a_template_made_empty_is_none():
    assert "action_url" not in finish({"title": "t", "body": "b", "action_url": " "})
