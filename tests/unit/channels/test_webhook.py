"""What the URL and the content of a webhook may be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.channels.content import UnfitContent
from cdp.channels.webhook import PAYLOAD_OCTETS_MAX, finish, normalise


def test_a_url_keeps_its_path_and_gets_a_host_in_lower_case():
    assert normalise("HTTPS://Hooks.Example.COM:8443/A?b=C") == (
        "https://hooks.example.com:8443/A?b=C"
    )


@pytest.mark.parametrize(
    "url",
    ["", "hooks.example.com", "ftp://example.com/", "https://?", "https:///x",
     "javascript:alert(1)",
     "https://user:pass@example.com/", "https://example.com/#f", "https://exa mple.com/",
     "https://example.com/\r\nX: y", "https://example.com:99999/", "https://[::1/", "https://é.com/",
     "https://example.com/" + "x" * 2_048],
)  # fmt: skip
def test_what_is_no_url_is_refused_without_being_repeated(url):
    with pytest.raises(ValueError, match=r"^(a|this) ") as refused:
        normalise(url)
    assert not url or url not in str(refused.value)


texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=8,
)


@given(values)
def test_a_payload_stays_the_json_that_it_is(value):
    payload = finish({"payload": json.dumps(value, indent=1)})["payload"]

    assert json.loads(payload) == value


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (" ", "content_empty"),
        ("{", "content_not_json"),
        ("NaN", "content_not_json"),
        ("[" * 100_000, "content_not_json"),
        ('"\\ud800"', "content_unsafe"),
        (json.dumps("x" * PAYLOAD_OCTETS_MAX), "content_too_large"),
    ],
)
def test_what_is_no_json_or_too_large_is_refused(payload, code):
    with pytest.raises(UnfitContent) as refused:
        finish({"payload": payload})
    assert refused.value.fault.code == code
