"""What a request does not say, its delivery configuration says for it when it is accepted."""

from datetime import datetime, timedelta

import aiohttp
import pytest

from cdp.storage.database import Database
from tests.integration.http.conftest import (
    Tenant,
    email,
    make_tenant,
    served,
)
from tests.integration.http.services import HeldClock, build_api
from tests.waiting import eventually

PATHS = ("/communications", "/communications/batch")


async def configure(tenant: Tenant, **fields) -> None:
    answer = await tenant.post("/delivery-configs", fields)
    assert answer.status == 201, answer.body


async def accepted(tenant: Tenant, path: str = PATHS[0], **fields):
    body = email(**fields)
    answer = await tenant.post(path, [body] if path.endswith("batch") else body)
    assert answer.status in (202, 207), answer.body
    given = answer.json.get("items", [answer.json])
    return (await tenant.get(f"/communications/{given[0]['id']}")).json


def life_s(found) -> float | None:
    if found["expires_at"] is None:
        return None
    begun = datetime.fromisoformat(found["send_at"] or found["created_at"])
    return (datetime.fromisoformat(found["expires_at"]) - begun).total_seconds()


@pytest.mark.parametrize("path", PATHS)
async def test_priority_and_expiry_come_from_the_narrowest_configuration(tenant: Tenant, path):
    await configure(tenant, priority="low", expires_after_s=3_600)
    await configure(tenant, campaign="codes", priority="high", expires_after_s=90.5)

    async def known() -> bool:
        return bool((await accepted(tenant, path))["priority"] == "low")

    await eventually(known, 10)
    plain, code = await accepted(tenant, path), await accepted(tenant, path, campaign="codes")
    assert (plain["priority"], life_s(plain)) == ("low", 3_600)
    assert (code["priority"], life_s(code)) == ("high", 90.5)


async def test_what_the_request_says_itself_counts(tenant: Tenant):
    await configure(tenant, priority="low", expires_after_s=3_600)
    later = (datetime.now().astimezone() + timedelta(days=2)).isoformat()

    async def known() -> bool:
        return bool((await accepted(tenant))["priority"] == "low")

    await eventually(known, 10)
    named = await accepted(tenant, priority="normal", expires_at=later)
    assert named["priority"] == "normal"
    assert datetime.fromisoformat(named["expires_at"]) > datetime.now().astimezone() + timedelta(1)
    # From when it may be sent, not from when it was asked for.
    assert life_s(await accepted(tenant, send_at=later)) == 3_600


async def test_the_campaigns_own_priority_counts_before_the_configurations(tenant: Tenant):
    await configure(tenant, priority="low")
    await tenant.call("PUT", "/campaigns/spring", {"priority": "high"})

    async def known() -> bool:
        return bool((await accepted(tenant, campaign="spring"))["priority"] == "high")

    await eventually(known, 10)
    assert (await accepted(tenant, campaign="autumn"))["priority"] == "low"


async def test_a_repeat_has_what_counted_the_first_time(migrated):
    clock = HeldClock()
    api = build_api(migrated.mongo_uri("platform"), clock=clock)
    admin = Database(migrated.mongo_uri("admin"), component="test-admin")
    async with served(api) as base, aiohttp.ClientSession() as session:
        tenant = await make_tenant(api, base, session)

        async def post(path) -> str:
            body = [email()] if path.endswith("batch") else email()
            answer = await tenant.post(path, body, Idempotency_Key="once")
            assert answer.status in (202, 207), answer.body
            return str(answer.json.get("items", [answer.json])[0]["id"])

        made = (await tenant.post("/delivery-configs", {"expires_after_s": 3_600})).json
        first = [await post(path) for path in PATHS]
        # The last write of both is lost, as in a crash; then the configuration changes.
        await admin["delivery_results"].delete_many({"client_id": tenant.client.id})
        await tenant.call("PUT", f"/delivery-configs/{made['id']}", {"expires_after_s": 7_200})
        clock.advance(timedelta(seconds=61))

        assert [await post(path) for path in PATHS] == first
        for text in first:
            found = (await tenant.get(f"/communications/{text}")).json
            assert life_s(found) == 3_600
    await api.close()
    await admin.close()


async def test_all_that_is_set_is_explained_with_its_origin(tenant: Tenant):
    fields = {
        "priority": "low", "lane": "high", "rate_per_s": 50, "domain_rate_per_s": 5,
        "send_window": "mon-fri 09:00-20:00", "quiet_hours": "12:00-13:00",
        "timezone": "Europe/Berlin", "expires_after_s": 600, "track_opens": False,
        "track_clicks": True,
    }  # fmt: skip
    made = (await tenant.post("/delivery-configs", fields)).json
    answer = await tenant.post("/config/explain", {"channel": "email"})

    assert {name: made[name] for name in fields} == fields
    said = {each["field"]: each for each in answer.json["delivery"]}
    assert {name: said[name]["value"] for name in fields} == fields
    assert {said[name]["origin"]["id"] for name in fields} == {made["id"]}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"priority": "urgent"}, {"/priority": "literal_error"}),
        ({"lane": "express"}, {"/lane": "literal_error"}),
        ({"rate_per_s": 0}, {"/rate_per_s": "greater_than_equal"}),
        ({"rate_per_s": -1}, {"/rate_per_s": "greater_than_equal"}),
        ({"rate_per_s": 1e6}, {"/rate_per_s": "less_than_equal"}),
        ({"domain_rate_per_s": "5"}, {"/domain_rate_per_s": "float_type"}),
        ({"send_window": "9-20"}, {"/send_window": "string_pattern_mismatch"}),
        ({"send_window": "09:00-25:00"}, {"/send_window": "out_of_bounds"}),
        ({"send_window": "xyz 09:00-10:00"}, {"/send_window": "out_of_bounds"}),
        ({"quiet_hours": "08:00-08:00"}, {"/quiet_hours": "out_of_bounds"}),
        (
            {"send_window": "09:00-10:00", "quiet_hours": "08:00-11:00"},
            {"/quiet_hours": "out_of_bounds"},
        ),
        ({"timezone": "Mars/Olympus"}, {"/timezone": "timezone_unknown"}),
        ({"timezone": "../../etc/passwd"}, {"/timezone": "timezone_unknown"}),
        ({"expires_after_s": 0}, {"/expires_after_s": "greater_than_equal"}),
        ({"track_opens": "yes"}, {"/track_opens": "bool_type"}),
    ],
)
async def test_what_can_not_be_is_refused_by_pointer(tenant: Tenant, body, pointers):
    answer = await tenant.post("/delivery-configs", body)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert (await tenant.get("/delivery-configs")).json["items"] == []


async def test_a_providers_rate_is_kept_and_can_be_taken_away(tenant: Tenant):
    given = {"name": "mail", "kind": "email.smtp", "settings": {"host": "smtp.example"}}
    made = await tenant.post("/providers", given | {"rate_per_s": 14.0})
    changed = await tenant.call("PUT", "/providers/mail", {"settings": {"host": "smtp.example"}})
    refused = await tenant.post("/providers", given | {"name": "two", "rate_per_s": 0.0})

    assert made.json["rate_per_s"] == 14.0
    assert changed.json["rate_per_s"] is None
    assert (refused.status, refused.pointers) == (422, {"/rate_per_s": "greater_than_equal"})


async def test_the_providers_that_would_be_tried_are_explained(tenant: Tenant):
    async def explained(**asked):
        answer = await tenant.post("/config/explain", {"channel": "email", **asked})
        return [(each["name"], each["owner"]) for each in answer.json["providers"]]

    installed = await explained()
    for name in ("one", "two"):
        settings = {"host": "smtp.example"}
        given = {"name": name, "kind": "email.smtp", "settings": settings}
        assert (await tenant.post("/providers", given)).status == 201
    await configure(tenant, channel="email", campaign="spring", providers=["two", "one"])

    assert installed == [("email.smtp", "installation")]

    async def known() -> bool:
        return bool(await explained(campaign="spring") == [("two", "client"), ("one", "client")])

    await eventually(known, 10)
    assert await explained() == [("one", "client"), ("two", "client")]
