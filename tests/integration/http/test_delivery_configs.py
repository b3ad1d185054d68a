"""Delivery configurations over HTTP: levels, versions, and who may see them."""

import asyncio

import pytest

from cdp.domain.delivery_config import ALL, LEVELS_MAX, ConfigScope, DeliveryConfig
from cdp.http.pagination import LIMIT_MAX
from tests.integration.http.conftest import Tenant, email, make_tenant
from tests.waiting import eventually

PATH = "/delivery-configs"
NONE = "00000000-0000-7000-8000-000000000000"


async def make(tenant: Tenant, **fields: object) -> dict[str, object]:
    answer = await tenant.post(PATH, fields)
    assert answer.status == 201, answer.body
    return dict(answer.json)


async def test_a_level_is_made_read_changed_and_taken_away(tenant: Tenant):
    made = await tenant.post(PATH, {"campaign": "spring", "segment": "vip", "attempts_max": 3})

    assert made.status == 201
    level = made.json
    assert (level["campaign"], level["segment"], level["channel"]) == ("spring", "vip", None)
    assert (level["attempts_max"], level["backoff_cap_s"], level["version"]) == (3, None, 1)
    read = await tenant.get(f"{PATH}/{level['id']}")
    assert (read.json, read.headers["ETag"]) == (level, made.headers["ETag"])

    changed = await tenant.call(
        "PUT",
        f"{PATH}/{level['id']}",
        {"backoff_cap_s": 60, "retry_on": ["transient"]},
        headers={"If-Match": made.headers["ETag"]},
    )

    assert changed.status == 200
    assert (changed.json["attempts_max"], changed.json["backoff_cap_s"]) == (None, 60)
    assert (changed.json["retry_on"], changed.json["campaign"]) == (["transient"], "spring")
    assert changed.headers["ETag"] == f'"{changed.json["version"]}"' == '"2"'

    assert (await tenant.call("DELETE", f"{PATH}/{level['id']}")).status == 204
    assert (await tenant.get(f"{PATH}/{level['id']}")).status == 404
    assert (await tenant.call("DELETE", f"{PATH}/{level['id']}")).status == 404


@pytest.mark.parametrize("stale", ['"1"', 'W/"2"', '"x"', "2", '""', '"1", "3"'])
async def test_a_version_that_was_changed_meanwhile_stays_as_it_is(tenant: Tenant, stale):
    level = await make(tenant, attempts_max=3)
    path = f"{PATH}/{level['id']}"
    await tenant.call("PUT", path, {"attempts_max": 4}, headers={"If-Match": '"1"'})

    for method, body in (("PUT", {"attempts_max": 5}), ("DELETE", None)):
        answer = await tenant.call(method, path, body, headers={"If-Match": stale})
        assert (answer.status, answer.json["type"]) == (412, "urn:cdp:problem:changed-meanwhile")

    assert (await tenant.get(path)).json["attempts_max"] == 4
    for fresh in ('"1", "2"', "*"):
        answer = await tenant.call("PUT", path, {"attempts_max": 6}, headers={"If-Match": fresh})
        assert answer.status == 200


async def test_of_racing_changes_with_one_version_one_wins(tenant: Tenant):
    level = await make(tenant, attempts_max=3)

    answers = await asyncio.gather(
        *(
            tenant.call(
                "PUT", f"{PATH}/{level['id']}", {"attempts_max": n}, headers={"If-Match": '"1"'}
            )
            for n in range(10, 18)
        )
    )

    assert sorted(answer.status for answer in answers) == [200] + [412] * 7


async def test_racing_changes_without_a_version_all_happen(tenant: Tenant):
    level = await make(tenant, attempts_max=3)
    path = f"{PATH}/{level['id']}"

    answers = await asyncio.gather(
        *(tenant.call("PUT", path, {"attempts_max": n}) for n in range(10, 18))
    )

    assert [answer.status for answer in answers] == [200] * 8
    assert (await tenant.get(path)).json["version"] == 9


async def test_of_one_scope_there_is_one_level(tenant: Tenant):
    bodies = [{"attempts_max": n, "campaign": "spring"} for n in range(1, 6)]

    answers = await asyncio.gather(*(tenant.post(PATH, body) for body in bodies))

    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    [made] = [answer.json for answer in answers if answer.status == 201]
    refused = next(answer.json for answer in answers if answer.status == 409)
    assert made["id"] in refused["detail"]
    # Another scope is another level, the one that names nothing too.
    await make(tenant, attempts_max=1)
    await make(tenant, attempts_max=1, campaign="spring", segment="vip")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"": "missing"}),
        ({"campaign": "spring"}, {"": "missing"}),
        ({"attempts_max": None}, {"": "missing"}),
        ({"attempts_max": 0}, {"/attempts_max": "greater_than_equal"}),
        ({"attempts_max": 1.5}, {"/attempts_max": "int_type"}),
        ({"attempts_max": True}, {"/attempts_max": "int_type"}),
        ({"backoff_cap_s": 1e9}, {"/backoff_cap_s": "less_than_equal"}),
        ({"backoff_jitter": 1.1}, {"/backoff_jitter": "less_than_equal"}),
        ({"retry_on": ["address"]}, {"/retry_on/0": "literal_error"}),
        ({"at_least_once": "no"}, {"/at_least_once": "bool_type"}),
        ({"attempts_max": 3, "chanel": "email"}, {"/chanel": "extra_forbidden"}),
        ({"attempts_max": 3, "channel": "fax"}, {"/channel": "literal_error"}),
        ({"attempts_max": 3, "campaign": ""}, {"/campaign": "string_too_short"}),
        ({"attempts_max": 3, "segment": "a\nb"}, {"/segment": "string_pattern_mismatch"}),
    ],
)
async def test_what_is_wrong_is_refused_by_pointer_and_changes_nothing(
    tenant: Tenant, body, pointers
):
    answer = await tenant.post(PATH, body)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert (await tenant.get(PATH)).json["items"] == []


async def test_levels_are_listed_by_what_they_name_page_by_page(tenant: Tenant):
    made = [await make(tenant, attempts_max=1, campaign=f"c{n}", segment="vip") for n in range(5)]
    await make(tenant, attempts_max=1, campaign="c0")

    first = (await tenant.get(f"{PATH}?segment=vip&limit=3")).json
    rest = (await tenant.get(f"{PATH}?segment=vip&limit=3&cursor={first['next_cursor']}")).json

    assert [*first["items"], *rest["items"]] == made
    assert rest["next_cursor"] is None
    assert len((await tenant.get(f"{PATH}?campaign=c0")).json["items"]) == 2
    assert (await tenant.get(f"{PATH}?name=x")).status == 422
    assert (await tenant.get(f"{PATH}?limit={LIMIT_MAX + 1}")).status == 422
    assert (await tenant.get(f"{PATH}?cursor={first['next_cursor']}")).status == 400


async def test_another_clients_level_is_none(tenant: Tenant, api, base, session):
    level = await make(tenant, attempts_max=3)
    other = await make_tenant(api, base, session)

    for method, body in (("GET", None), ("PUT", {"attempts_max": 9}), ("DELETE", None)):
        for level_id in (level["id"], NONE, "x"):
            assert (await other.call(method, f"{PATH}/{level_id}", body)).status == 404

    assert (await tenant.get(f"{PATH}/{level['id']}")).json == level
    assert (await other.get(PATH)).json["items"] == []


async def test_it_is_explained_where_each_value_comes_from(tenant: Tenant, api):
    platform = await api.services.delivery_configs.set(None, ALL, DeliveryConfig(backoff_cap_s=999))
    try:
        wide = await make(tenant, attempts_max=5, backoff_initial_s=7)
        narrow = await make(tenant, attempts_max=9, campaign="spring")
        await make(tenant, attempts_max=2, campaign="autumn")

        asked = {"channel": "email", "campaign": "spring", "segment": "vip"}
        answer = await tenant.post("/config/explain", asked)

        said = {each["field"]: each for each in answer.json["delivery"]}
        assert said["attempts_max"]["value"] == 9
        assert said["attempts_max"]["origin"] == {
            "level": "client", "id": narrow["id"],
            "channel": None, "campaign": "spring", "segment": None,
        }  # fmt: skip
        assert said["backoff_initial_s"]["origin"]["id"] == wide["id"]
        assert said["backoff_cap_s"]["value"] == 999
        origins = {name: each["origin"]["level"] for name, each in said.items()}
        assert origins["backoff_cap_s"] == "platform"
        assert origins["at_least_once"] == "default"
        # The platform's own level is nobody's to read or change.
        assert said["backoff_cap_s"]["origin"]["id"] is None
    finally:
        await api.services.delivery_configs.delete(None, platform.id, seen=None)


async def test_the_template_of_the_segment_and_the_sender_are_explained(tenant: Tenant):
    await tenant.call("PUT", "/templates/one", {"email": {"subject": "Hi", "text": "Hi"}})
    await tenant.call("PUT", "/segments/vip", {})
    assignment = {"channel": "email", "template": "one"}
    await tenant.call("PUT", "/segments/vip/assignments", assignment)
    asked = {"channel": "email", "campaign": "spring"}

    vip = (await tenant.post("/config/explain", asked | {"segment": "vip"})).json
    nobody = (await tenant.post("/config/explain", asked | {"segment": "nobody"})).json

    assert vip["template"] == {"name": "one", "segment": "vip", "campaign": None}
    sender = vip["sender"]
    assert (sender["name"], sender["email"]) == ("default", "news@example.com")
    assert sender["display_name"] == "News"
    assert nobody["template"] is None


async def test_a_change_is_in_force_within_two_seconds(tenant: Tenant, api):
    accepted = (await tenant.post("/communications", email(campaign="spring"))).json
    items = [item for item in api.hinted if item.client_id == tenant.client.id]
    [policy] = (await api.services.config.retry_policies(items)).values()
    assert policy.attempts_max == 12
    assert accepted["id"]

    await make(tenant, attempts_max=2, campaign="spring")

    async def in_force():
        [policy] = (await api.services.config.retry_policies(items)).values()
        assert policy.attempts_max == 2
        return True

    await eventually(in_force, within_s=2.5)


async def test_a_client_has_at_most_so_many_levels(tenant: Tenant, api):
    said, scope = DeliveryConfig(attempts_max=1), ConfigScope(campaign="c0")
    await api.services.delivery_configs.create(tenant.client.id, scope, said)
    collection = api.database.raw["delivery_configs"]
    stored = await collection.find_one({"client_id": tenant.client.id})
    await collection.insert_many(
        stored | {"_id": api.services.new_id(), "campaign": f"c{n}"} for n in range(1, LEVELS_MAX)
    )

    answer = await tenant.post(PATH, {"attempts_max": 1})

    assert (answer.status, answer.json["type"]) == (409, "urn:cdp:problem:conflict")
