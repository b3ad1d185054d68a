"""Providers over HTTP: credentials go in and never come out, and what is in use stays."""

import json
from typing import Any

import pytest

from cdp.storage.database import Database
from tests.integration.conftest import Embedded
from tests.integration.http.conftest import Tenant

SID = "AC" + "0" * 32
CANARY = "canary-token-4711"


def twilio(name: str = "twilio", **settings: Any) -> dict[str, Any]:
    given = {"account_sid": SID, "auth_token": CANARY} | settings
    return {"name": name, "kind": "sms.twilio", "settings": given}


async def test_a_provider_is_set_up_read_changed_and_taken_away(tenant: Tenant):
    made = await tenant.post("/providers", twilio())
    read = await tenant.get("/providers/twilio")
    changed = await tenant.call(
        "PUT", "/providers/twilio", {"settings": {"account_sid": SID, "timeout_s": 5.0}}
    )
    listed = await tenant.get("/providers")
    gone = await tenant.call("DELETE", "/providers/twilio")

    assert (made.status, made.headers["ETag"]) == (201, '"1"')
    assert made.json == read.json
    assert made.json["credentials"] == {"auth_token": True}
    assert made.json["settings"] == {"account_sid": SID}
    assert (changed.status, changed.json["version"]) == (200, 2)
    assert changed.json["credentials"] == {"auth_token": True}
    assert [each["name"] for each in listed.json["items"]] == ["twilio"]
    assert gone.status == 204
    assert (await tenant.get("/providers/twilio")).status == 404


async def test_a10_a_credential_comes_out_nowhere(tenant: Tenant, embedded: Embedded):
    answers = [
        await tenant.post("/providers", twilio()),
        await tenant.post("/providers", twilio()),
        await tenant.post("/providers", twilio("bad", account_sid="", auth_token=CANARY)),
        await tenant.get("/providers"),
        await tenant.get("/providers/twilio"),
    ]
    database = Database(embedded.mongo_uri("admin"), component="test-admin")
    stored = [d async for d in database["providers"].find({"client_id": tenant.client.id})]
    await database.close()

    assert [answer.status for answer in answers] == [201, 409, 422, 200, 200]
    assert all(CANARY.encode() not in answer.body for answer in answers)
    assert len(stored) == 1
    assert CANARY not in json.dumps(stored, default=lambda value: repr(value))


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/name": "missing", "/kind": "missing", "/settings": "missing"}),
        (twilio() | {"kind": "sms.acme"}, {"/kind": "unknown"}),
        (twilio() | {"kind": "../x"}, {"/kind": "unknown"}),
        (twilio(name="a b"), {"/name": "string_pattern_mismatch"}),
        (twilio(colour="red"), {"/settings/colour": "extra_forbidden"}),
        (twilio(timeout_s=0), {"/settings/timeout_s": "greater_than"}),
        (twilio(base_url="ftp://x"), {"/settings/base_url": "string_pattern_mismatch"}),
        (
            {"name": "x", "kind": "sms.twilio", "settings": {"account_sid": SID}},
            {"/settings/auth_token": "missing"},
        ),
        (
            {"name": "x", "kind": "webhook.standard", "settings": {"secret": "short"}},
            {"/settings/secret": "value_error"},
        ),
    ],
)
async def test_what_is_wrong_is_named_by_its_pointer(tenant: Tenant, body, pointers):
    answer = await tenant.post("/providers", body)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert (await tenant.get("/providers")).json["items"] == []


async def test_a_change_of_what_somebody_else_has_changed_is_refused(tenant: Tenant):
    await tenant.post("/providers", twilio())
    change = {"settings": {"account_sid": SID, "auth_token": "new"}, "enabled": False}

    first = await tenant.call("PUT", "/providers/twilio", change, headers={"If-Match": '"1"'})
    late = await tenant.call("PUT", "/providers/twilio", change, headers={"If-Match": '"1"'})
    delete = await tenant.call("DELETE", "/providers/twilio", headers={"If-Match": '"1"'})

    assert (first.status, late.status, delete.status) == (200, 412, 412)
    assert (await tenant.get("/providers/twilio")).json["enabled"] is False


async def test_what_a_delivery_configuration_names_must_be_there_and_stays(tenant: Tenant):
    config = {"channel": "sms", "providers": ["twilio", "backup"]}
    unknown = await tenant.post("/delivery-configs", config)
    for name in ("twilio", "backup"):
        await tenant.post("/providers", twilio(name))

    made = await tenant.post("/delivery-configs", config)
    refused = await tenant.call("DELETE", "/providers/backup")
    explained = await tenant.post("/config/explain", {"channel": "sms"})
    await tenant.call("DELETE", f"/delivery-configs/{made.json['id']}")
    deleted = await tenant.call("DELETE", "/providers/backup")

    assert unknown.pointers == {"/providers/0": "unknown"}
    assert (made.status, made.json["providers"]) == (201, ["twilio", "backup"])
    assert refused.status == 409
    assert made.json["id"] in refused.json["detail"]
    fields = {each["field"]: each for each in explained.json["delivery"]}
    assert fields["providers"]["value"] == ["twilio", "backup"]
    assert fields["providers"]["origin"]["level"] == "client"
    assert fields["at_least_once"]["value"] is False
    assert deleted.status == 204


async def test_another_clients_provider_is_neither_seen_nor_named(tenant: Tenant, other: Tenant):
    await tenant.post("/providers", twilio())

    named = await other.post("/delivery-configs", {"channel": "sms", "providers": ["twilio"]})

    assert (await other.get("/providers/twilio")).status == 404
    assert (await other.get("/providers")).json["items"] == []
    assert named.pointers == {"/providers/0": "unknown"}


async def test_every_kind_is_listed_with_its_settings(tenant: Tenant):
    found = {each["kind"]: each for each in (await tenant.get("/provider-kinds")).json["items"]}

    assert {"email.smtp", "sms.twilio", "push.fcm", "push.apns", "push.web"} <= found.keys()
    assert found["sms.twilio"]["credentials"] == ["auth_token"]
    assert found["sms.twilio"]["settings"]["properties"]["account_sid"]
    assert {each["channel"] for each in found.values()} == {
        "email", "sms", "push", "in_app", "webhook",
    }  # fmt: skip
