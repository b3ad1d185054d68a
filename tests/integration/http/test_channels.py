"""Requests for every channel over HTTP: what is taken, what is refused, and how it is shown."""

import base64
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.http.conftest import Tenant

POINT = base64.urlsafe_b64encode(b"\x04" + bytes(64)).rstrip(b"=").decode()
AUTH = base64.urlsafe_b64encode(bytes(16)).rstrip(b"=").decode()
SUBSCRIPTION = {
    "endpoint": "https://push.example.com/abc",
    "expirationTime": None,
    "keys": {"p256dh": POINT, "auth": AUTH},
}


def request(channel: str, to: dict[str, Any], content: Any, **fields: Any) -> dict[str, Any]:
    return {"channel": channel, "to": [to], "content": content, **fields}


def sms(phone: str = "+49 151 1234-5678", text: str = "Hi", **fields: Any) -> dict[str, Any]:
    return request("sms", {"phone": phone}, {"text": text}, **fields)


WRONG_KEYS = {"keys": {"p256dh": "x", "auth": "y"}}
PUSH = {"title": "Hi", "body": "There"}
HOOK = {"payload": {"a": [1, None]}}


@pytest.mark.parametrize(
    ("body", "address"),
    [
        (sms(), "+4915112345678"),
        (request("push", {"device_token": "AB" * 32, "platform": "apns"}, PUSH), "ab" * 32),
        (request("push", {"device_token": "x" * 40, "platform": "fcm"}, PUSH), "x" * 40),
        (request("push", {"subscription": SUBSCRIPTION}, PUSH), SUBSCRIPTION["endpoint"]),
        (request("in_app", {"user": "u-1"}, PUSH | {"data": {"n": 1}}), "u-1"),
        (request("webhook", {"url": "https://A.example/x"}, HOOK), "https://a.example/x"),
    ],
)
async def test_a_request_is_taken_with_the_one_form_of_its_address(tenant: Tenant, body, address):
    answer = await tenant.post("/communications", body)
    shown = await tenant.get(f"/communications/{answer.json['id']}")
    listed = await tenant.get(
        f"/communications?channel={body['channel']}&recipient={quote(address)}"
    )

    assert answer.status == 202, answer.body
    assert answer.json["recipients"][0]["to"] == address
    assert (shown.json["channel"], shown.json["recipients"][0]["to"]) == (body["channel"], address)
    assert [item["to"] for item in listed.json["items"]] == [address]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (sms(phone="0151 123"), {"/to/0/phone": "phone_invalid"}),
        (sms(text=" "), {"/content/text": "content_empty"}),
        (sms(text="a" * 2_000), {"/content/text": "content_too_large"}),
        (sms(cc=[]), {"/cc": "extra_forbidden"}),
        (sms(tracking={}), {"/tracking": "extra_forbidden"}),
        (request("sms", {"email": "a@b.example"}, {"text": "x"}),
         {"/to/0/phone": "missing", "/to/0/email": "extra_forbidden"}),
        (request("push", {}, PUSH), {"/to/0/device_token": "missing"}),
        (request("push", {"device_token": "x" * 40}, PUSH), {"/to/0/platform": "missing"}),
        (request("push", {"device_token": "x" * 40, "platform": "apns"}, PUSH),
         {"/to/0/device_token": "token_invalid"}),
        (request("push", {"device_token": "x" * 40, "subscription": SUBSCRIPTION}, PUSH),
         {"/to/0/device_token": "excluded"}),
        (request("push", {"subscription": SUBSCRIPTION | WRONG_KEYS}, PUSH),
         {"/to/0/subscription/keys": "keys_invalid"}),
        (request("push", {"subscription": SUBSCRIPTION | {"endpoint": "http://x.example"}}, PUSH),
         {"/to/0/subscription/endpoint": "endpoint_invalid"}),
        (request("push", {"device_token": "x" * 40, "platform": "fcm"}, PUSH | {"data": {"a": 1}}),
         {"/content/data/a": "string_type"}),
        (request("in_app", {"user": "\n"}, PUSH), {"/to/0/user": "user_invalid"}),
        (request("in_app", {"user": "u"}, PUSH | {"action_url": "javascript:x"}),
         {"/content/action_url": "content_invalid"}),
        (request("webhook", {"url": "ftp://a.example"}, HOOK), {"/to/0/url": "url_invalid"}),
        (request("webhook", {"url": "https://a.example"}, {}), {"/content/payload": "missing"}),
        (request("webhook", {"url": "https://a.example"}, {"payload": {"$a": 1}}),
         {"/content/payload/$a": "name_forbidden"}),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named_by_its_pointer(tenant: Tenant, body, pointers):
    answer = await tenant.post("/communications", body)

    assert (answer.status, answer.pointers) == (422, pointers)


async def test_a_batch_may_mix_the_channels(tenant: Tenant):
    items = [
        sms(), request("in_app", {"user": "u"}, PUSH), sms(phone="x"),
        request("webhook", {"url": "https://a.example/"}, HOOK), {"channel": "fax"},
    ]  # fmt: skip

    answer = await tenant.post("/communications/batch", items)

    assert [item["status"] for item in answer.json["items"]] == [202, 202, 422, 202, 422]
    wrong = answer.json["items"][4]["problem"]["errors"]
    assert [error["pointer"] for error in wrong] == ["/channel"]


async def test_a_template_without_content_for_the_channel_or_language_is_refused(tenant: Tenant):
    german = {"locales": {"de": {"sms": {"text": "Hallo"}}}}
    await tenant.call("PUT", "/templates/german", german)

    def asking(channel, to):
        return {"channel": channel, "to": to, "template": "german"}

    fine = await tenant.post(
        "/communications", asking("sms", [{"phone": "+4915112345678", "locale": "de-AT"}])
    )
    channel = await tenant.post("/communications", asking("in_app", [{"user": "u"}]))
    language = await tenant.post(
        "/communications",
        asking("sms", [{"phone": "+4915112345678", "locale": "de"}, {"phone": "+4915112345679"}]),
    )

    assert fine.status == 202
    assert channel.pointers == {"/template": "other_channel"}
    assert language.pointers == {"/to/1/locale": "other_language"}
