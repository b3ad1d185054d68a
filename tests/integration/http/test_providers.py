"""Providers over HTTP: credentials go in and never come out, and what is in use stays."""

import asyncio
import json
import os
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from cdp.errors import Invalid
from cdp.ports.clock import SystemClock
from cdp.services.provider_service import ProviderService
from cdp.services.secret_box import SecretBox
from cdp.storage.database import Database
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.providers import ProviderAccounts
from tests.conformance.http_rigs import pem_of
from tests.integration.conftest import Embedded
from tests.integration.http.conftest import Tenant

SID = "AC" + "0" * 32
CANARY = "canary-token-4711"


def twilio(name: str = "twilio", **settings: Any) -> dict[str, Any]:
    given = {"account_sid": SID, "auth_token": CANARY} | settings
    return {"name": name, "kind": "sms.twilio", "settings": given}


RECORD = "s1._domainkey.shop.example"
ED_PEM = pem_of(ed25519.Ed25519PrivateKey.generate())
OTHER_RECORD = "s2._domainkey.other.example"


def smtp(name: str = "mail", **settings: Any) -> dict[str, Any]:
    return {"name": name, "kind": "email.smtp", "settings": {"host": "smtp.example"} | settings}


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
    assert made.json["credentials"] == {"auth_token": made.json["created_at"]}
    assert made.json["settings"] == {"account_sid": SID}
    assert (changed.status, changed.json["version"]) == (200, 2)
    assert changed.json["credentials"] == made.json["credentials"]
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
        (smtp() | {"settings": {"host": "x", "a/b": 1}}, {"/settings/a~1b": "extra_forbidden"}),
        (twilio(auth_token=None), {"/settings/auth_token": "missing"}),
        (
            smtp(dkim_keys={"shop.example": ED_PEM}),
            {"/settings/dkim_keys/shop.example": "string_pattern_mismatch"},
        ),
        (smtp(dkim_keys={RECORD: "PEM"}), {f"/settings/dkim_keys/{RECORD}": "value_error"}),
        (smtp(password="secret"), {"/settings": "value_error"}),
        (smtp(username="me", password="secret", security="none"), {"/settings": "value_error"}),
        (smtp(tls_ca_file="/dev/zero"), {"/settings/tls_ca_file": "operators_only"}),
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


async def test_credentials_are_changed_and_taken_away_one_by_one(tenant: Tenant):
    pem = ED_PEM
    body = smtp(username="me", password=CANARY, dkim_keys={RECORD: pem})
    made = (await tenant.post("/providers", body)).json

    async def put(**settings: Any) -> Any:
        body = {"settings": {"host": "smtp.example"} | settings}
        return await tenant.call("PUT", "/providers/mail", body)

    added = await put(username="me", dkim_keys={OTHER_RECORD: pem})
    without_user = await put()
    without_both = await put(password=None, dkim_keys={RECORD: None})

    first, second = f"dkim_keys/{RECORD}", f"dkim_keys/{OTHER_RECORD}"
    assert made["settings"] == {"host": "smtp.example", "username": "me"}
    assert set(made["credentials"].values()) == {made["created_at"]}
    assert added.json["credentials"] == {
        "password": made["created_at"],
        first: made["created_at"],
        second: added.json["updated_at"],
    }
    assert without_user.pointers == {"/settings": "value_error"}
    assert without_both.json["credentials"] == {
        "password": None,
        second: added.json["updated_at"],
    }


async def test_what_is_kept_of_the_settings_has_its_type(tenant: Tenant):
    made = await tenant.post("/providers", smtp(port="2525"))

    assert made.json["settings"] == {"host": "smtp.example", "port": 2525}


async def test_a10_what_no_key_opens_is_known_and_given_again(tenant: Tenant, embedded: Embedded):
    made = await tenant.post("/providers", smtp(username="me", password=CANARY))
    await tenant.post("/providers", smtp("other"))
    database = Database(embedded.mongo_uri("platform"), component="test")

    def service(**keys: bytes) -> ProviderService:
        return ProviderService(
            accounts=ProviderAccounts(database),
            configs=DeliveryConfigs(database),
            box=SecretBox(keys),
            clock=SystemClock(),
            random_bytes=os.urandom,
        )

    lost, owner = service(other=b"o" * 32), tenant.client.id
    mail, other = (await lost.accounts_across_clients([owner]))[owner]
    with pytest.raises(Invalid) as refused:
        await lost.replace(owner, "mail", settings={"host": "x"}, is_enabled=True, seen=None)
    given = await lost.replace(
        owner,
        "mail",
        settings={"host": "x", "username": "me", "password": "new"},
        is_enabled=True,
        seen=None,
    )
    [again, _] = (await lost.accounts_across_clients([owner]))[owner]
    await database.close()

    assert made.status == 201
    assert (mail.is_readable, other.is_readable) == (False, True)
    assert "password" not in mail.settings
    assert [error.pointer for error in refused.value.errors] == ["/settings/password"]
    assert given.version == 2
    assert (again.is_readable, again.settings["password"]) == (True, "new")


async def test_a10_after_resealing_the_old_key_is_needed_no_more(
    tenant: Tenant, embedded: Embedded
):
    await tenant.post("/providers", smtp(username="me", password=CANARY))
    database = Database(embedded.mongo_uri("platform"), component="test")
    accounts, owner = ProviderAccounts(database), tenant.client.id

    def service(keys: dict[str, bytes]) -> ProviderService:
        return ProviderService(
            accounts=accounts,
            configs=DeliveryConfigs(database),
            box=SecretBox(keys),
            clock=SystemClock(),
            random_bytes=os.urandom,
        )

    old, new = {"test": b"s" * 32}, {"new": b"n" * 32}
    unreadable = await service(new).reseal()
    before = await accounts.find(owner, "mail")
    done = await service(new | old).reseal()
    again = await service(new | old).reseal()
    [mail] = (await service(new).accounts_across_clients([owner]))[owner]
    after = await accounts.find(owner, "mail")
    await service(old | new).reseal()
    await database.close()

    assert owner in {account.client_id for account in unreadable.unreadable}
    assert done.accounts >= 1
    assert again.accounts == 0
    assert owner not in {account.client_id for account in again.unreadable}
    assert mail.settings["password"] == CANARY
    assert before is not None
    assert after is not None
    assert replace(after, secrets={}) == replace(before, secrets={})


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

    assert unknown.pointers == {"/providers/0": "unknown", "/providers/1": "unknown"}
    assert (made.status, made.json["providers"]) == (201, ["twilio", "backup"])
    assert refused.status == 409
    assert made.json["id"] in refused.json["detail"]
    fields = {each["field"]: each for each in explained.json["delivery"]}
    assert fields["providers"]["value"] == ["twilio", "backup"]
    assert fields["providers"]["origin"]["level"] == "client"
    assert fields["at_least_once"]["value"] is False
    assert deleted.status == 204


async def test_a_configuration_names_providers_of_its_channel(tenant: Tenant):
    await tenant.post("/providers", twilio())
    await tenant.post("/providers", smtp())

    answers = [
        await tenant.post("/delivery-configs", {**scope, "providers": ["mail", "twilio"]})
        for scope in ({"channel": "email"}, {"channel": "push"}, {"campaign": "spring"})
    ]

    assert [answer.pointers for answer in answers] == [
        {"/providers/1": "other_channel"},
        {"/providers/0": "other_channel", "/providers/1": "other_channel"},
        {"/providers/0": "other_channel", "/providers/1": "other_channel"},
    ]
    assert (await tenant.get("/delivery-configs")).json["items"] == []


async def test_a_provider_that_goes_while_it_is_named_leaves_no_name_without_one(tenant: Tenant):
    for turn in range(12):
        await tenant.post("/providers", twilio())
        config = {"channel": "sms", "campaign": f"c{turn}", "providers": ["twilio"]}
        made, gone = await asyncio.gather(
            tenant.post("/delivery-configs", config), tenant.call("DELETE", "/providers/twilio")
        )

        left = (await tenant.get(f"/delivery-configs?campaign=c{turn}")).json["items"]
        there = (await tenant.get("/providers/twilio")).status == 200
        assert (made.status, gone.status) in {(201, 409), (422, 204), (422, 409)}
        assert there or not left
        assert bool(left) is (made.status == 201)


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
