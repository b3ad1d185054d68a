"""Campaigns over HTTP: made and changed, brought from state to state, and asked at intake."""

import asyncio
from datetime import timedelta
from urllib.parse import quote

import aiohttp
import pytest

from cdp.domain.campaign import CAMPAIGNS_MAX
from cdp.domain.lane import Priority
from cdp.storage.database import Database
from tests.integration.http.conftest import Got, Tenant, email, make_tenant, served
from tests.integration.http.services import HeldClock, build_api
from tests.waiting import eventually

SPRING = "/campaigns/spring"
FULL = {
    "description": "Spring sale",
    "priority": "low",
    "start_at": "2040-03-01T09:00:00Z",
    "spread_s": 3_600,
    "rate_per_s": 12.5,
    "frequency_cap": {"messages": 3, "window_s": 604_800},
    "automatic_pause": {"bounce_rate": 0.05, "complaint_rate": 0.001, "results_min": 500},
}


async def put(tenant: Tenant, path: str, body: object, **headers: str) -> Got:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await tenant.call("PUT", path, body, headers=sent)


async def states(tenant: Tenant, *acts: str, name: str = "spring") -> list[object]:
    """What becomes of it act by act: its state, or the status of the refusal."""
    came = []
    for act in acts:
        answer = await tenant.post(f"/campaigns/{name}/{act}")
        came.append(answer.json["state"] if answer.status == 200 else answer.status)
    return came


async def refused(tenant: Tenant, *, campaign: str) -> Got:
    """The refusal of a request, once the cache that is asked at intake knows."""

    async def answer():
        got = await tenant.post("/communications", email(campaign=campaign))
        return got if got.status != 202 else None

    return await eventually(answer, within_s=10)


async def test_a_campaign_is_made_read_changed_and_taken_away(tenant: Tenant):
    made = await put(tenant, SPRING, FULL)

    assert made.status == 201
    assert {name: made.json[name] for name in FULL} == FULL
    assert (made.json["state"], made.json["closed"], made.json["version"]) == ("draft", False, 1)
    assert (made.json["counts"]["accepted"], made.json["permutations"]) == (0, [])
    read = await tenant.get(SPRING)
    assert (read.status, read.headers["ETag"]) == (200, '"1"')

    same = await put(tenant, SPRING, FULL)
    changed = await put(tenant, SPRING, {"description": "Later"}, If_Match='"1"')
    assert [answer.json["version"] for answer in (same, changed)] == [1, 2]
    assert (changed.json["spread_s"], changed.json["automatic_pause"]) == (None, None)
    assert (await put(tenant, SPRING, {}, If_Match='"1"')).status == 412
    assert (await put(tenant, "/campaigns/new", {}, If_Match="*")).status == 412

    assert (await tenant.call("DELETE", SPRING, headers={"If-Match": '"1"'})).status == 412
    assert (await tenant.call("DELETE", SPRING)).status == 204
    assert (await tenant.get(SPRING)).status == 404
    assert (await tenant.call("DELETE", SPRING)).status == 404
    assert (await tenant.get("/campaigns")).json["items"] == []
    # One of the same name is another, and goes by another version.
    again = await put(tenant, SPRING, {})
    assert (again.status, again.json["version"]) == (201, 4)


async def test_campaigns_are_listed_by_name_and_state_in_pages(tenant: Tenant):
    for name in ("d", "a", "c", "b"):
        await put(tenant, f"/campaigns/{name}", {})
    await states(tenant, "start", name="c")

    first = (await tenant.get("/campaigns?limit=3")).json
    rest = (await tenant.get(f"/campaigns?limit=3&cursor={first['next_cursor']}")).json
    running = (await tenant.get("/campaigns?state=running")).json

    assert [item["name"] for item in first["items"]] == ["a", "b", "c"]
    assert [item["name"] for item in rest["items"]] == ["d"]
    assert [item["name"] for item in running["items"]] == ["c"]
    assert (await tenant.get("/campaigns?state=going")).pointers == {"state": "invalid"}
    assert (await tenant.get("/campaigns?status=running")).pointers == {"status": "unknown"}


async def test_it_goes_from_state_to_state_and_repeats_change_nothing(tenant: Tenant):
    await put(tenant, SPRING, {})

    assert await states(tenant, "pause", "resume") == [409, 409]
    assert await states(tenant, "start", "start", "pause", "pause") == [
        "running", "running", "paused", "paused",
    ]  # fmt: skip
    assert await states(tenant, "start", "resume", "resume", "close") == [
        409, "running", "running", "running",
    ]  # fmt: skip
    closed = (await tenant.get(SPRING)).json
    assert (closed["closed"], closed["version"]) == (True, 5)
    assert await states(tenant, "cancel", "cancel", "close", "start", "pause") == [
        "cancelled", "cancelled", 409, 409, 409,
    ]  # fmt: skip
    assert (await put(tenant, SPRING, {"description": "x"})).status == 409
    assert (await tenant.post("/campaigns/none/start")).status == 404


async def test_with_a_version_an_act_meets_that_version_or_nothing(tenant: Tenant):
    await put(tenant, SPRING, {})

    stale = await tenant.post(f"{SPRING}/start", None, If_Match='"7"')
    fresh = await tenant.post(f"{SPRING}/start", None, If_Match='"1"')

    assert (stale.status, fresh.status, fresh.json["state"]) == (412, 200, "running")
    assert fresh.headers["ETag"] == '"2"'


async def test_one_with_a_time_waits_for_it(tenant: Tenant):
    await put(tenant, SPRING, FULL)

    assert await states(tenant, "start", "pause", "resume") == ["scheduled", "paused", "scheduled"]
    assert (await put(tenant, SPRING, {})).status == 409
    moved = await put(tenant, SPRING, {"start_at": "2050-01-01T00:00:00Z"})
    assert (moved.status, moved.json["state"]) == (200, "scheduled")
    await put(tenant, "/campaigns/now", {"start_at": "2020-01-01T00:00:00Z"})
    assert await states(tenant, "start", name="now") == ["running"]
    started = await put(tenant, "/campaigns/now", {"start_at": "2050-01-01T00:00:00Z"})
    assert "has started" in started.json["detail"]


async def test_racing_acts_all_are_answered_and_the_state_is_one_of_theirs(tenant: Tenant):
    await put(tenant, SPRING, {})
    await states(tenant, "start")

    answers = await asyncio.gather(
        *(tenant.post(f"{SPRING}/{act}") for act in ("pause", "resume", "close", "pause") * 3)
    )

    assert {answer.status for answer in answers} == {200}
    left = (await tenant.get(SPRING)).json
    assert left["state"] in ("running", "paused")
    assert left["closed"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"priority": "urgent"}, {"/priority": "literal_error"}),
        ({"start_at": "tomorrow"}, {"/start_at": "time_invalid"}),
        ({"spread_s": 0}, {"/spread_s": "greater_than_equal"}),
        ({"spread_s": 1.5}, {"/spread_s": "int_type"}),
        ({"rate_per_s": 0}, {"/rate_per_s": "greater_than_equal"}),
        ({"frequency_cap": {"messages": 1}}, {"/frequency_cap/window_s": "missing"}),
        (
            {"frequency_cap": {"messages": 0, "window_s": 60}},
            {"/frequency_cap/messages": "greater_than_equal"},
        ),
        ({"automatic_pause": {"bounce_rate": 0}}, {"/automatic_pause/bounce_rate": "greater_than"}),
        ({"description": "a\nb"}, {"/description": "string_pattern_mismatch"}),
        ({"name": "x"}, {"/name": "extra_forbidden"}),
        ({"state": "running"}, {"/state": "extra_forbidden"}),
    ],
)
async def test_what_is_wrong_is_refused_and_changes_nothing(tenant: Tenant, body, pointers):
    answer = await put(tenant, SPRING, body)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert (await tenant.get(SPRING)).status == 404


@pytest.mark.parametrize("name", ["Früh & spät", "a.b", "50%", "…", "x" * 100, "e\u0301"])
async def test_what_a_request_can_name_can_be_a_campaign(tenant: Tenant, name):
    path = f"/campaigns/{quote(name, safe='')}"
    made = await put(tenant, path, {})

    assert made.status == 201
    assert (await tenant.get(path)).json["name"] == made.json["name"]
    assert await states(tenant, "cancel", name=quote(name, safe="")) == ["cancelled"]
    answer = await refused(tenant, campaign=name)
    assert answer.json["type"] == "urn:cdp:problem:campaign-closed"


@pytest.mark.parametrize("name", ["a%01b", "x" * 101, "%00", "%7F"])
async def test_what_no_campaign_can_be_called_is_none(tenant: Tenant, name):
    assert (await put(tenant, f"/campaigns/{name}", {})).pointers == {"name": "name_invalid"}
    assert (await tenant.get(f"/campaigns/{name}")).status == 404
    assert (await tenant.post(f"/campaigns/{name}/start")).status == 404


@pytest.mark.parametrize(("act", "word"), [("close", "closed"), ("cancel", "cancelled")])
async def test_a_request_for_what_is_over_is_refused_and_says_why(tenant: Tenant, act, word):
    await put(tenant, SPRING, {})
    accepted = await tenant.post("/communications", email(campaign="spring"), Idempotency_Key="k")
    await states(tenant, "start", act)

    answer = await refused(tenant, campaign="spring")
    counts = (await tenant.get(SPRING)).json["counts"]
    batch = await tenant.post(
        "/communications/batch", [email(campaign="spring"), email(), email(campaign="autumn")]
    )
    repeated = await tenant.post("/communications", email(campaign="spring"), Idempotency_Key="k")

    assert answer.status == 409
    assert answer.json["type"] == "urn:cdp:problem:campaign-closed"
    assert answer.json["detail"] == f"The campaign spring is {word}."
    assert [item["status"] for item in batch.json["items"]] == [409, 202, 202]
    # What was accepted before is answered the same.
    assert (repeated.status, repeated.json["id"]) == (202, accepted.json["id"])

    async def counted_anew():
        now = (await tenant.get(SPRING)).json["counts"]
        return now["counted_at"] > counts["counted_at"] and now["accepted"] == counts["accepted"]

    await eventually(counted_anew, within_s=5)


async def test_the_books_of_a_campaign_add_up(tenant: Tenant, api):
    await put(tenant, SPRING, {})
    sent = [
        (await tenant.post("/communications", email(campaign="spring"))).json["id"]
        for _ in range(4)
    ]
    await tenant.post("/communications", email(campaign="autumn"))
    await tenant.post(f"/communications/{sent[0]}/cancel")

    async def counted():
        counts = (await tenant.get(SPRING)).json["counts"]
        return counts if counts["cancelled"] else None

    counts = await eventually(counted, within_s=5)

    assert (counts["accepted"], counts["cancelled"], counts["pending"]) == (4, 1, 3)
    assert counts["pending_by"] == {
        "held": 0, "scheduled": 0, "waiting": 3, "in_flight": 0, "retrying": 0,
    }  # fmt: skip
    assert (await tenant.call("DELETE", SPRING)).status == 409


async def test_a_request_that_names_no_priority_gets_the_campaigns(tenant: Tenant, api):
    await put(tenant, SPRING, {"priority": "high"})

    async def priority(**fields):
        answer = await tenant.post("/communications", email(campaign="spring", **fields))
        return (await tenant.get(f"/communications/{answer.json['id']}")).json["priority"]

    async def known():
        return await priority() == "high"

    await eventually(known, within_s=10)
    assert [await priority(priority=word) for word in ("normal", "low")] == ["normal", "low"]
    batch = await tenant.post("/communications/batch", [email(campaign="spring")])
    [item] = batch.json["items"]
    assert (await tenant.get(f"/communications/{item['id']}")).json["priority"] == "high"


async def test_a_repeat_has_the_priority_of_the_first_time_whatever_its_campaign_says(migrated):
    clock = HeldClock()
    api = build_api(migrated.mongo_uri("platform"), clock=clock)
    admin = Database(migrated.mongo_uri("admin"), component="test-admin")
    one, paths = email(campaign="spring"), ("/communications", "/communications/batch")
    async with served(api) as base, aiohttp.ClientSession() as session:
        tenant = await make_tenant(api, base, session)

        async def post(path):
            body = [one] if path.endswith("batch") else one
            answer = await tenant.post(path, body, Idempotency_Key="once")
            assert answer.status in (202, 207), answer.body
            given = answer.json.get("items", [answer.json])
            return given[0]["id"]

        await put(tenant, SPRING, {"priority": "high"})
        first = [await post(path) for path in paths]
        # The last write of both is lost, as in a crash; then the campaign becomes less urgent.
        gone = await admin["delivery_results"].delete_many({"client_id": tenant.client.id})
        await put(tenant, SPRING, {"priority": "low"})
        clock.advance(timedelta(seconds=61))
        again = [await post(path) for path in paths]

        assert (gone.deleted_count, again) == (2, first)
        for text in first:
            found = (await tenant.get(f"/communications/{text}")).json
            events = (await tenant.get(f"/communications/{text}/events")).json["items"]
            assert found["priority"] == "high"
            assert [event["details"]["priority"] for event in events] == [int(Priority.HIGH)]
    await api.close()
    await admin.close()


async def test_a_campaign_shows_what_its_segments_get(tenant: Tenant):
    await put(tenant, "/templates/one", {"email": {"subject": "Hi", "text": "Hi"}})
    for segment in ("vip", "new"):
        await put(tenant, f"/segments/{segment}", {})
        await put(tenant, f"/segments/{segment}/assignments", {
            "channel": "email", "campaign": "spring", "template": "one",
        })  # fmt: skip
    await put(tenant, "/segments/vip/assignments", {"channel": "email", "template": "one"})
    await put(tenant, SPRING, {})

    assert (await tenant.get(SPRING)).json["permutations"] == [
        {"segment": "new", "channel": "email", "template": "one"},
        {"segment": "vip", "channel": "email", "template": "one"},
    ]


async def test_explaining_says_what_the_campaign_means(tenant: Tenant):
    async def effect():
        asked = {"channel": "email", "campaign": "spring"}
        said = (await tenant.post("/config/explain", asked)).json["campaign"]
        return None if said is None else (said["state"], said["effect"])

    async def becomes(expected):
        async def is_so():
            return await effect() == expected

        await eventually(is_so, within_s=10)

    assert await effect() is None
    await put(tenant, SPRING, {})
    await becomes(("draft", "held"))
    await states(tenant, "start")
    await becomes(("running", "sent"))
    await states(tenant, "close")
    await becomes(("running", "refused"))


async def test_another_clients_campaign_is_none(tenant: Tenant, other: Tenant):
    await put(tenant, SPRING, {})
    await states(tenant, "cancel")

    assert (await other.get(SPRING)).status == 404
    assert (await other.post(f"{SPRING}/cancel")).status == 404
    assert (await other.call("DELETE", SPRING)).status == 404
    assert (await other.get("/campaigns")).json["items"] == []
    assert (await other.post("/communications", email(campaign="spring"))).status == 202
    assert (await put(other, SPRING, {})).status == 201


async def test_a_client_has_at_most_so_many_campaigns(tenant: Tenant, api):
    await put(tenant, SPRING, {})
    collection = api.database.raw["campaigns"]
    stored = await collection.find_one({"client_id": tenant.client.id})
    del stored["_id"]
    newest = await collection.find_one({}, sort=[("epoch", -1)])
    await collection.insert_many(
        stored | {"name": f"c{n}", "epoch": newest["epoch"] + n, "is_settled": True}
        for n in range(1, CAMPAIGNS_MAX)
    )

    more = await put(tenant, "/campaigns/more", {})
    known = await put(tenant, "/campaigns/c7", {"description": "x"})

    assert (more.status, known.status) == (409, 200)
    await collection.delete_many({"client_id": tenant.client.id})


@pytest.mark.parametrize(("known", "status"), [(True, 200), (False, 202)])
async def test_a_pause_is_answered_by_whether_all_know_of_it(migrated, known, status):
    asked = []

    async def applied(epoch):
        asked.append(epoch)
        return known

    api = build_api(migrated.mongo_uri("platform"), campaigns_applied=applied)
    async with served(api) as base, aiohttp.ClientSession() as session:
        tenant = await make_tenant(api, base, session)
        await put(tenant, SPRING, {})
        started = await tenant.post(f"{SPRING}/start")
        paused = await tenant.post(f"{SPRING}/pause")
        again = await tenant.post(f"{SPRING}/pause")
        cancelled = await tenant.post(f"{SPRING}/cancel")
    await api.close()

    assert [started.status, paused.status, again.status, cancelled.status] == [
        200, status, status, status,
    ]  # fmt: skip
    assert paused.json["state"] == again.json["state"] == "paused"
    # The repeat asks for the very same change.
    assert asked[0] == asked[1] < asked[2]
    assert cancelled.json["state"] == "cancelled"
