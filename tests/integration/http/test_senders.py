"""Senders over HTTP: who a client's communications come from."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from cdp.domain.sender import SENDERS_MAX
from cdp.storage.senders import Senders
from tests.integration.http.conftest import Got, Tenant, email, make_tenant
from tests.integration.http.services import Api

NEWS = {"channel": "email", "email": "News@Example.COM", "display_name": "Example News"}
CODES = {"channel": "sms", "originator": "EXAMPLE"}


async def put(tenant: Tenant, name: str, body: object, **headers: str) -> Got:
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return await tenant.call("PUT", f"/senders/{name}", body, headers=sent)


async def names(tenant: Tenant, query: str = "") -> list[str]:
    return [each["name"] for each in (await tenant.get(f"/senders?{query}")).json["items"]]


async def defaults(tenant: Tenant) -> dict[str, str]:
    items = (await tenant.get("/senders")).json["items"]
    return {each["channel"]: each["name"] for each in items if each["is_default"]}


async def test_a_sender_is_made_changed_and_taken_away(tenant: Tenant):
    made = await put(tenant, "news", NEWS)
    same = await put(tenant, "news", NEWS)
    changed = await put(tenant, "news", NEWS | {"reply_to": "hello@example.com"}, If_Match='"1"')

    assert (made.status, same.status, changed.status) == (201, 200, 200)
    assert [a.json["version"] for a in (made, same, changed)] == [1, 1, 2]
    assert changed.headers["ETag"] == '"2"'
    assert changed.json["email"] == "News@example.com"
    assert changed.json["reply_to"] == "hello@example.com"
    assert changed.json["originator"] is None
    assert (await tenant.get("/senders/news")).json == changed.json
    assert (await put(tenant, "news", NEWS, If_Match='"1"')).status == 412
    assert (await put(tenant, "new", NEWS, If_Match="*")).status == 412
    assert (await tenant.call("DELETE", "/senders/news", headers={"If-Match": '"1"'})).status == 412
    assert (await tenant.call("DELETE", "/senders/news")).status == 204
    assert (await tenant.get("/senders/news")).status == 404
    assert (await tenant.call("DELETE", "/senders/news")).status == 404


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (CODES, {"originator": "EXAMPLE", "email": None, "display_name": None}),
        ({"channel": "sms", "originator": "+49 151 12345678"}, {"originator": "+4915112345678"}),
        ({"channel": "sms", "originator": "12345"}, {"originator": "12345"}),
        ({"channel": "push"}, {"originator": None, "email": None}),
        (NEWS | {"dkim_domain": "Example.com"}, {"dkim_domain": "example.com"}),
        (
            {"channel": "email", "email": "a@mail.example.com", "dkim_domain": "example.com"},
            {"dkim_domain": "example.com", "display_name": ""},
        ),
    ],
)
async def test_each_channel_has_an_identity_of_its_own(tenant: Tenant, body, shown):
    answer = await put(tenant, "mine", body)

    assert answer.status == 201
    assert {name: answer.json[name] for name in shown} == shown


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/channel": "missing"}),
        ({"channel": "fax"}, {"/channel": "literal_error"}),
        ({"channel": "email"}, {"/email": "missing"}),
        ({"channel": "email", "email": "x"}, {"/email": "string_too_short"}),
        ({"channel": "email", "email": "a b@x.example"}, {"/email": "address_invalid"}),
        (NEWS | {"display_name": "a\r\nBcc: b@c.example"}, {"/display_name": "header_unsafe"}),
        (NEWS | {"reply_to": "nobody"}, {"/reply_to": "address_invalid"}),
        (NEWS | {"dkim_domain": "other.example"}, {"/dkim_domain": "sender_invalid"}),
        (NEWS | {"dkim_domain": "com_"}, {"/dkim_domain": "sender_invalid"}),
        (NEWS | {"originator": "X"}, {"/originator": "extra_forbidden"}),
        ({"channel": "sms", "originator": "TWELVE CHARS"}, {"/originator": "sender_invalid"}),
        ({"channel": "sms", "originator": "+1"}, {"/originator": "sender_invalid"}),
        ({"channel": "push", "email": "a@b.example"}, {"/email": "extra_forbidden"}),
    ],
)
async def test_a_wrong_sender_is_refused_and_changes_nothing(tenant: Tenant, body, pointers):
    answer = await put(tenant, "news", body)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert await names(tenant) == ["default"]


async def test_a_name_that_nothing_can_have_is_refused(tenant: Tenant):
    assert (await put(tenant, "a%20b", NEWS)).pointers == {"name": "name_invalid"}
    assert (await tenant.get("/senders/a%20b")).status == 404


async def test_of_each_channel_one_is_the_default(tenant: Tenant):
    first = await put(tenant, "codes", CODES)
    second = await put(tenant, "more", CODES)
    taken = await put(tenant, "more", CODES | {"is_default": True})

    assert [a.json["is_default"] for a in (first, second, taken)] == [True, False, True]
    assert await defaults(tenant) == {"email": "default", "sms": "more"}
    before = (await tenant.get("/senders/codes")).json
    assert (before["is_default"], before["version"]) == (False, 2)
    # What is not said stays, what is said counts.
    assert (await put(tenant, "more", CODES)).json["is_default"]
    assert not (await put(tenant, "more", CODES | {"is_default": False})).json["is_default"]
    assert await defaults(tenant) == {"email": "default"}


async def test_racing_defaults_leave_one(tenant: Tenant):
    answers = await asyncio.gather(
        *(put(tenant, f"s{n}", CODES | {"is_default": True}) for n in range(8))
    )

    assert {answer.status for answer in answers} == {201}
    items = (await tenant.get("/senders?channel=sms")).json["items"]
    assert [each["is_default"] for each in items].count(True) == 1
    assert len(items) == 8


async def test_a_sender_stays_on_its_channel(tenant: Tenant):
    await put(tenant, "news", NEWS)

    answer = await put(tenant, "news", CODES)

    assert answer.status == 409
    assert "email" in answer.json["detail"]


async def test_senders_are_listed_by_name_in_pages_and_by_channel(tenant: Tenant):
    for name in ("c", "a", "b"):
        await put(tenant, name, CODES)

    first = (await tenant.get("/senders?limit=2&channel=sms")).json
    rest = (await tenant.get(f"/senders?limit=2&channel=sms&cursor={first['next_cursor']}")).json

    assert [each["name"] for each in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None
    assert await names(tenant, "channel=email") == ["default"]


async def test_whoever_is_too_late_takes_no_default_away(tenant: Tenant, api: Api):
    await put(tenant, "news", NEWS)
    storage = Senders(api.database)
    news = await storage.find(tenant.client.id, "news")
    assert news is not None

    replaced = await storage.replace(replace(news, is_default=True), seen=news.version + 1)

    assert not replaced
    assert await defaults(tenant) == {"email": "default"}


async def test_a_client_has_at_most_so_many(tenant: Tenant, api: Api):
    now = api.services.clock.now()
    await api.database["senders"].insert_many(
        {"_id": api.services.new_id(), "client_id": tenant.client.id, "name": f"s{n}",
         "channel": "push", "is_default": False, "version": 1, "created_at": now, "updated_at": now}
        for n in range(SENDERS_MAX)
    )  # fmt: skip

    assert (await put(tenant, "one-more", NEWS)).status == 409
    assert (await put(tenant, "s1", {"channel": "push"})).status == 200


async def test_a_configuration_names_only_a_sender_of_its_channel(tenant: Tenant):
    await put(tenant, "news", NEWS)
    await put(tenant, "codes", CODES)

    async def configured(**fields: Any) -> Got:
        return await tenant.post("/delivery-configs", fields)

    unknown = await configured(channel="email", sender="nobody")
    other = await configured(channel="email", sender="codes")
    anywhere = await configured(campaign="spring", sender="news")
    fit = await configured(channel="email", campaign="spring", sender="news")
    change = await tenant.call("PUT", f"/delivery-configs/{fit.json['id']}", {"sender": "codes"})

    assert unknown.pointers == {"/sender": "unknown"}
    assert other.pointers == anywhere.pointers == {"/sender": "other_channel"}
    assert (fit.status, fit.json["sender"]) == (201, "news")
    assert change.pointers == {"/sender": "other_channel"}
    assert len((await tenant.get("/delivery-configs")).json["items"]) == 1


async def test_what_is_named_is_not_taken_away_and_by_what_is_said(tenant: Tenant):
    await put(tenant, "news", NEWS)
    config = await tenant.post("/delivery-configs", {"channel": "email", "sender": "news"})

    refused = await tenant.call("DELETE", "/senders/news")

    assert refused.status == 409
    assert config.json["id"] in refused.json["detail"]
    await tenant.call("DELETE", f"/delivery-configs/{config.json['id']}")
    assert (await tenant.call("DELETE", "/senders/news")).status == 204


async def test_racing_names_and_deletions_leave_nothing_orphaned(tenant: Tenant):
    for n in range(15):
        await put(tenant, f"s{n}", NEWS)
        body = {"channel": "email", "campaign": f"c{n}", "sender": f"s{n}"}
        named, gone = await asyncio.gather(
            tenant.post("/delivery-configs", body), tenant.call("DELETE", f"/senders/s{n}")
        )

        configs = (await tenant.get(f"/delivery-configs?campaign=c{n}")).json["items"]
        is_there = (await tenant.get(f"/senders/s{n}")).status == 200
        assert is_there or configs == []
        assert (named.status == 201) == bool(configs)
        assert (gone.status == 204) != is_there


async def test_the_narrowest_name_counts_and_is_explained(tenant: Tenant):
    await put(tenant, "news", NEWS)
    config = {"channel": "email", "campaign": "spring", "sender": "news"}
    made = (await tenant.post("/delivery-configs", config)).json

    async def explained(**scope: str) -> tuple[Any, Any]:
        answer = (await tenant.post("/config/explain", {"channel": "email", **scope})).json
        [field] = [f for f in answer["delivery"] if f["field"] == "sender"]
        return answer["sender"] and answer["sender"]["name"], (
            field["value"],
            field["origin"]["id"],
        )

    assert await explained() == ("default", (None, None))
    assert await explained(campaign="spring", segment="vip") == ("news", ("news", made["id"]))
    assert await explained(channel="sms", campaign="spring") == (None, (None, None))


async def test_without_any_sender_an_email_is_refused_and_with_one_taken_at_once(
    tenant: Tenant, api: Api
):
    assert (await tenant.call("DELETE", "/senders/default")).status == 204
    refused = await tenant.post("/communications", email())
    await put(tenant, "news", NEWS)
    taken = await tenant.post("/communications", email())

    assert (refused.status, taken.status) == (409, 202)


async def test_another_clients_senders_are_none(tenant: Tenant, api, base, session):
    await put(tenant, "news", NEWS)
    other = await make_tenant(api, base, session)

    assert (await other.get("/senders/news")).status == 404
    assert (await other.call("DELETE", "/senders/news")).status == 404
    assert await names(other) == ["default"]
    body = {"channel": "email", "sender": "news"}
    assert (await other.post("/delivery-configs", body)).pointers == {"/sender": "unknown"}
    # One of the same name is another.
    assert (await put(other, "news", CODES)).status == 201
