"""What a device and a notification may be."""

import base64

import pytest

from cdp.channels.content import UnfitContent
from cdp.channels.push import (
    CONTENT_OCTETS_MAX,
    check_subscription_keys,
    finish,
    normalise_endpoint,
    normalise_token,
)

POINT = base64.urlsafe_b64encode(b"\x04" + bytes(64)).rstrip(b"=").decode()
AUTH = base64.urlsafe_b64encode(bytes(16)).rstrip(b"=").decode()


def test_a_token_has_the_form_of_its_platform():
    assert normalise_token("AB" * 32, "apns") == "ab" * 32
    assert normalise_token("fGd:APA91b-_%" + "x" * 20, "fcm") == "fGd:APA91b-_%" + "x" * 20


@pytest.mark.parametrize(
    ("token", "platform"),
    [("xy" * 32, "apns"), ("a" * 63, "apns"), ("short", "fcm"),
     ("a/b" * 20, "fcm"), ("é" * 20, "fcm")],
)  # fmt: skip
def test_any_other_token_is_refused(token, platform):
    with pytest.raises(ValueError, match="token of"):
        normalise_token(token, platform)


def test_an_endpoint_is_an_https_url():
    assert normalise_endpoint("https://push.example.com/x?y=1") == "https://push.example.com/x?y=1"
    for bad in (
        "http://push.example.com/x",
        "https://a:b@c.example/",
        "https:///x",
        "x",
        "https://é",
    ):
        with pytest.raises(ValueError, match="an endpoint is"):
            normalise_endpoint(bad)


@pytest.mark.parametrize("padding", ["", "="])
def test_the_keys_of_a_subscription_are_a_point_and_a_secret(padding):
    check_subscription_keys(POINT + padding, AUTH)


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [(POINT[:-4], AUTH), ("B" + POINT[1:], AUTH[:-2]), ("!", AUTH), (POINT, ""), ("A" * 87, AUTH)],
)
def test_any_other_keys_are_refused(p256dh, auth):
    with pytest.raises(ValueError, match=r"p256dh|auth|base64url"):
        check_subscription_keys(p256dh, auth)


def test_a_notification_may_have_data_a_collapse_key_and_a_time_to_live():
    parts = {
        "title": "Hi", "body": "You", "data": '{"a":"b"}', "collapse_key": " x-1 ", "ttl_s": "60",
    }  # fmt: skip

    assert finish(parts) == parts | {"collapse_key": "x-1"}
    assert finish({"title": "Hi", "body": "", "collapse_key": ""}) == {"title": "Hi", "body": ""}


@pytest.mark.parametrize(
    ("parts", "code", "part"),
    [
        ({"title": "", "body": " "}, "content_empty", "title"),
        ({"title": "t", "data": "x"}, "content_not_json", "data"),
        ({"title": "t", "data": "[]"}, "content_not_json", "data"),
        ({"title": "t", "data": '{"a": 1}'}, "content_not_json", "data"),
        ({"title": "t", "data": '{"a": NaN}'}, "content_not_json", "data"),
        ({"title": "t", "body": "é" * (CONTENT_OCTETS_MAX // 2)}, "content_too_large", "body"),
        ({"title": "t" * 1_001}, "content_too_large", "title"),
        ({"title": "t", "collapse_key": "ä"}, "content_invalid", "collapse_key"),
        ({"title": "t", "ttl_s": "soon"}, "content_invalid", "ttl_s"),
        ({"title": "t", "ttl_s": "99999999"}, "content_invalid", "ttl_s"),
    ],
)
def test_what_no_service_takes_is_refused(parts, code, part):
    with pytest.raises(UnfitContent) as refused:
        finish(parts)
    assert (refused.value.fault.code, refused.value.fault.part) == (code, part)
