"""What the user of an inbox and an entry in it may be."""

import pytest

from cdp.channels.content import UnfitContent
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


def test_an_action_that_a_template_made_empty_is_none():
    assert "action_url" not in finish({"title": "t", "body": "b", "action_url": " "})
