"""Segments over HTTP: names for groups of users, and the templates that they get."""

import asyncio
from dataclasses import replace

import pytest

from cdp.domain.segment import ASSIGNMENTS_MAX, Assignment, AssignmentKey
from cdp.storage.segments import SegmentAssignments
from tests.integration.http.conftest import Got, Tenant, make_tenant

PARTS = {"email": {"subject": "Hi", "text": "Hi"}}
VIP = "/segments/vip"
ASSIGN = "/segments/vip/assignments"


async def put(tenant: Tenant, path: str, body: object, **headers: str) -> Got:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await tenant.call("PUT", path, body, headers=sent)


async def with_templates(tenant: Tenant, *names: str) -> None:
    for name in names:
        assert (await put(tenant, f"/templates/{name}", PARTS)).status == 201


def to_segment(segment: str = "vip", **fields: object) -> dict[str, object]:
    return {"channel": "email", "to": [{"email": "a@b.example"}], "segment": segment, **fields}


async def test_a_segment_is_made_described_and_taken_away(tenant: Tenant):
    made = await put(tenant, VIP, {"description": "The best"})
    same = await put(tenant, VIP, {"description": "The best"})
    changed = await put(tenant, VIP, {"description": "The very best"}, If_Match='"1"')

    assert (made.status, same.status, changed.status) == (201, 200, 200)
    assert [a.json["version"] for a in (made, same, changed)] == [1, 1, 2]
    assert changed.headers["ETag"] == '"2"'
    assert (await tenant.get(VIP)).json == changed.json
    assert (await put(tenant, VIP, {}, If_Match='"1"')).status == 412
    assert (await put(tenant, "/segments/new", {}, If_Match='"1"')).status == 412
    assert (await put(tenant, "/segments/new", {}, If_Match="*")).status == 412
    assert (await put(tenant, VIP, {"description": "The very best"}, If_Match="*")).status == 200
    assert (await tenant.get("/segments/new")).status == 404
    assert (await tenant.call("DELETE", VIP, headers={"If-Match": '"1"'})).status == 412
    gone = await tenant.call("DELETE", VIP)
    assert (gone.status, gone.body) == (204, b"")
    assert not {"Content-Type", "Content-Length", "Transfer-Encoding"} & set(gone.headers)
    assert (await tenant.get(VIP)).status == 404


async def test_segments_are_listed_by_name_in_pages(tenant: Tenant):
    for name in ("d", "a", "c", "b"):
        await put(tenant, f"/segments/{name}", {})

    first = (await tenant.get("/segments?limit=3")).json
    rest = (await tenant.get(f"/segments?limit=3&cursor={first['next_cursor']}")).json

    assert [item["name"] for item in first["items"]] == ["a", "b", "c"]
    assert ([item["name"] for item in rest["items"]], rest["next_cursor"]) == (["d"], None)


async def test_of_channel_and_campaign_a_segment_gets_one_template(tenant: Tenant):
    await with_templates(tenant, "one", "two", "three")
    await put(tenant, VIP, {})

    await asyncio.gather(
        *(put(tenant, ASSIGN, {"channel": "email", "template": name}) for name in ("one", "two"))
    )
    spring = {"channel": "email", "campaign": "spring", "template": "three"}
    answer = await put(tenant, ASSIGN, spring)

    assert answer.status == 200
    kept = [(a["campaign"], a["template"]) for a in answer.json["assignments"]]
    assert len(kept) == 2
    assert kept[0][1] in ("one", "two")
    assert kept[1] == ("spring", "three")
    gone = await tenant.call("DELETE", f"{ASSIGN}?channel=email&campaign=spring")
    assert gone.status == 204
    again = await tenant.call("DELETE", f"{ASSIGN}?channel=email&campaign=spring")
    assert again.status == 404
    assert len((await tenant.get(VIP)).json["assignments"]) == 1


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"channel": "email"}, {"/template": "missing"}),
        ({"template": "one"}, {"/channel": "missing"}),
        ({"channel": "email", "template": "none"}, {"/template": "unknown"}),
        ({"channel": "fax", "template": "one"}, {"/channel": "literal_error"}),
        ({"channel": "email", "template": "-"}, {"/template": "string_pattern_mismatch"}),
        ({"channel": "email", "template": "one", "x": 1}, {"/x": "extra_forbidden"}),
    ],
)
async def test_a_wrong_assignment_is_refused_and_changes_nothing(tenant: Tenant, body, pointers):
    await with_templates(tenant, "one")
    await put(tenant, VIP, {})

    answer = await put(tenant, ASSIGN, body)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert (await tenant.get(VIP)).json["assignments"] == []
    assert (await tenant.call("DELETE", ASSIGN)).pointers == {"channel": "missing"}
    assert (await put(tenant, "/segments/none/assignments", {
        "channel": "email", "template": "one",
    })).status == 404  # fmt: skip


async def test_what_is_in_use_is_not_taken_away_and_by_what_is_said(tenant: Tenant):
    await with_templates(tenant, "one")
    await put(tenant, VIP, {})
    await put(tenant, ASSIGN, {"channel": "email", "template": "one"})

    segment = await tenant.call("DELETE", VIP)
    template = await tenant.call("DELETE", "/templates/one")

    assert (segment.status, template.status) == (409, 409)
    assert "one" in segment.json["detail"]
    assert "vip" in template.json["detail"]
    await tenant.call("DELETE", f"{ASSIGN}?channel=email")
    assert (await tenant.call("DELETE", "/templates/one")).status == 204
    assert (await tenant.call("DELETE", VIP)).status == 204


async def test_racing_assignments_and_deletions_leave_nothing_orphaned(tenant: Tenant):
    """Whoever wins: no assignment is left whose segment or template is gone."""
    for n in range(10):
        await with_templates(tenant, f"t{n}")
        await put(tenant, f"/segments/s{n}", {})
        await asyncio.gather(
            put(tenant, f"/segments/s{n}/assignments", {"channel": "email", "template": f"t{n}"}),
            tenant.call("DELETE", f"/segments/s{n}"),
            tenant.call("DELETE", f"/templates/t{n}"),
        )

        segment = await tenant.get(f"/segments/s{n}")
        template = await tenant.get(f"/templates/t{n}")
        if segment.status == 404:
            # Made again, it would show what was left over.
            segment = await put(tenant, f"/segments/s{n}", {})
            assert segment.json["assignments"] == []
        elif template.status == 404:
            assert segment.json["assignments"] == []


async def test_racing_descriptions_without_a_version_all_happen(tenant: Tenant):
    answers = await asyncio.gather(*(put(tenant, VIP, {"description": f"{n}"}) for n in range(8)))

    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert (await tenant.get(VIP)).json["version"] == 8


async def test_an_assignment_is_taken_back_alone(tenant: Tenant, api):
    assignments = SegmentAssignments(api.database)
    key = AssignmentKey(client_id=tenant.client.id, segment="vip", channel="email")
    now = api.services.clock.now()
    first = Assignment(key=key, template="gone", assigned_at=now)
    second = Assignment(key=key, template="kept", assigned_at=now)
    await assignments.put(first)
    await assignments.put(second)

    await assignments.take_back(first)
    assert await assignments.that_may_count([key]) == {key: second}

    await assignments.take_back(second)
    assert await assignments.that_may_count([key]) == {}


async def test_of_many_assignments_only_those_are_read_that_may_count(tenant: Tenant, api):
    assignments = SegmentAssignments(api.database)
    keys = [
        AssignmentKey(client_id=tenant.client.id, segment=segment, channel="email", campaign=name)
        for segment in ("vip", "new")
        for name in (None, "spring", "autumn", "winter")
    ]
    now = api.services.clock.now()
    for key in keys:
        await assignments.put(Assignment(key=key, template="t", assigned_at=now))
    wanted = [keys[1], replace(keys[5], campaign="none of its own")]

    found = await assignments.that_may_count(wanted)

    assert set(found) == {keys[0], keys[1], keys[4]}


async def test_a_request_to_a_segment_needs_no_template_of_its_own(tenant: Tenant):
    await with_templates(tenant, "one")
    await put(tenant, VIP, {})

    before = await tenant.post("/communications", to_segment())
    await put(tenant, ASSIGN, {"channel": "email", "campaign": "spring", "template": "one"})
    spring = await tenant.post("/communications", to_segment(campaign="spring"))
    autumn = await tenant.post("/communications", to_segment(campaign="autumn"))
    unknown = await tenant.post("/communications", to_segment("nobody", campaign="spring"))
    named = await tenant.post("/communications", to_segment("nobody", template="one"))

    assert (before.status, before.pointers) == (422, {"/segment": "unassigned"})
    assert spring.status == 202
    assert (autumn.status, autumn.pointers) == (422, {"/segment": "unassigned"})
    assert (unknown.status, unknown.pointers) == (422, {"/segment": "unassigned"})
    assert named.status == 202


async def test_in_a_batch_each_item_is_asked_for_its_segment(tenant: Tenant):
    await with_templates(tenant, "one")
    await put(tenant, VIP, {})
    await put(tenant, ASSIGN, {"channel": "email", "template": "one"})

    answer = await tenant.post(
        "/communications/batch", [to_segment(), to_segment("nobody"), to_segment(campaign="x")]
    )

    assert [item["status"] for item in answer.json["items"]] == [202, 422, 202]


async def test_another_clients_segment_is_none(tenant: Tenant, api, base, session):
    await with_templates(tenant, "one")
    await put(tenant, VIP, {})
    await put(tenant, ASSIGN, {"channel": "email", "template": "one"})
    other = await make_tenant(api, base, session)

    assert (await other.get(VIP)).status == 404
    assert (await other.call("DELETE", VIP)).status == 404
    assert (await put(other, ASSIGN, {"channel": "email", "template": "one"})).status == 404
    assert (await other.call("DELETE", f"{ASSIGN}?channel=email")).status == 404
    assert (await other.post("/communications", to_segment())).pointers == {
        "/segment": "unassigned"
    }
    assert (await other.get("/segments")).json["items"] == []
    # One of the same name is another.
    assert (await put(other, VIP, {})).status == 201
    assert (await other.get(VIP)).json["assignments"] == []


async def test_a_segment_has_at_most_so_many_assignments(tenant: Tenant, api):
    await with_templates(tenant, "one")
    await put(tenant, VIP, {})
    collection = api.database.raw["segment_assignments"]
    await collection.insert_many(
        {
            "client_id": tenant.client.id, "segment": "vip", "channel": "email",
            "campaign": f"c{n}", "template": "one", "assigned_at": api.services.clock.now(),
        }
        for n in range(ASSIGNMENTS_MAX)
    )  # fmt: skip

    more = await put(tenant, ASSIGN, {"channel": "email", "campaign": "new", "template": "one"})
    known = await put(tenant, ASSIGN, {"channel": "email", "campaign": "c7", "template": "one"})

    assert (more.status, known.status) == (409, 200)
