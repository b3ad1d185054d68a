"""Templates over HTTP, checked and rendered by the real sandbox."""

import asyncio

import pytest

from tests.integration.http.conftest import Tenant

PARTS = {"subject": "Hi {{ name }}", "html": "<p>{{ name }}</p>", "text": "Hi {{ name }}"}


async def test_a_change_makes_a_version_and_the_same_again_does_not(tenant: Tenant):
    made = await tenant.call("PUT", "/templates/welcome", PARTS)
    same = await tenant.call("PUT", "/templates/welcome", PARTS)
    changed = await tenant.call("PUT", "/templates/welcome", PARTS | {"text": "Yo {{ name }}"})

    assert (made.status, same.status, changed.status) == (201, 200, 201)
    assert [a.json["version"] for a in (made, same, changed)] == [1, 1, 2]
    versions = (await tenant.get("/templates/welcome/versions")).json["items"]
    assert [version["version"] for version in versions] == [2, 1]
    assert (await tenant.get("/templates/welcome")).json["text"] == "Yo {{ name }}"
    assert (await tenant.get("/templates/welcome?version=1")).json == made.json
    assert (await tenant.get("/templates/welcome?version=3")).status == 404


async def test_racing_changes_get_numbers_of_their_own(tenant: Tenant):
    answers = await asyncio.gather(
        *(tenant.call("PUT", "/templates/race", PARTS | {"text": f"{n}"}) for n in range(8))
    )

    assert sorted(a.json["version"] for a in answers) == list(range(1, 9))


@pytest.mark.parametrize(
    ("parts", "pointers"),
    [
        ({"subject": "s"}, {"/text": "missing"}),
        ({"html": "x"}, {"/subject": "missing"}),
        (PARTS | {"html": "{% if %}"}, {"/html": "template_syntax"}),
        (PARTS | {"body": "x"}, {"/body": "extra_forbidden"}),
        (PARTS | {"channel": "fax"}, {"/channel": "literal_error"}),
    ],
)
async def test_a_wrong_template_is_refused_with_its_pointer(tenant: Tenant, parts, pointers):
    answer = await tenant.call("PUT", "/templates/bad", parts)

    assert answer.status == 422
    assert answer.pointers == pointers
    assert (await tenant.get("/templates/bad")).status == 404


async def test_a_name_that_can_not_stand_in_a_path_is_refused(tenant: Tenant):
    for name in ("%20x", "a%00", "x" * 101, "-a", "caf%C3%A9"):
        answer = await tenant.call("PUT", f"/templates/{name}", PARTS)
        assert (answer.status, answer.pointers) == (422, {"name": "name_invalid"})
        assert (await tenant.get(f"/templates/{name}")).status == 404


async def test_a_template_is_tried_with_data(tenant: Tenant):
    await tenant.call("PUT", "/templates/welcome", PARTS)

    fine = await tenant.post("/templates/welcome/render", {"data": {"name": "<Ada>"}})
    missing = await tenant.post("/templates/welcome/render", {})
    unknown = await tenant.post("/templates/nope/render", {})

    assert fine.json["html"] == "<p>&lt;Ada&gt;</p>"
    assert fine.json["subject"] == "Hi <Ada>"
    assert missing.status == 422
    assert missing.pointers == {"/data/name": "missing_variable"}
    assert unknown.status == 404


async def test_templates_are_listed_by_name_in_pages(tenant: Tenant):
    for name in ("c", "a", "b"):
        await tenant.call("PUT", f"/templates/{name}", PARTS)

    first = (await tenant.get("/templates?limit=2")).json
    rest = (await tenant.get(f"/templates?limit=2&cursor={first['next_cursor']}")).json

    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None


async def test_a_deleted_template_is_gone_until_it_is_made_again(tenant: Tenant):
    await tenant.call("PUT", "/templates/old", PARTS)

    gone = await tenant.call("DELETE", "/templates/old")
    again = await tenant.call("DELETE", "/templates/old")
    missing = await tenant.get("/templates/old")
    remade = await tenant.call("PUT", "/templates/old", PARTS)

    assert (gone.status, again.status, missing.status, remade.status) == (204, 404, 404, 201)
    assert remade.json["version"] == 2


async def test_a_new_template_can_be_used_at_once_though_it_was_missed_before(tenant: Tenant):
    body = {"channel": "email", "to": [{"email": "a@b.example"}], "template": "fresh"}

    before = await tenant.post("/communications", body)
    await tenant.call("PUT", "/templates/fresh", PARTS)
    after = await tenant.post("/communications", body)

    assert (before.status, after.status) == (422, 202)
