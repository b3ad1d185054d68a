"""Dead letters are replayed over HTTP, by their ids or by a filter."""

import asyncio

import pytest

from cdp.domain.dead_letter import REPLAY_MAX
from cdp.domain.event import Status
from cdp.domain.ids import text_of
from tests.integration.http.conftest import Tenant, email, make_tenant, served
from tests.integration.http.dead_letters import (
    NOBODY,
    accepted,
    dead,
    ids_of,
    listed,
)
from tests.integration.http.services import Api, build_api
from tests.waiting import eventually


async def test_each_id_is_told_what_became_of_it(tenant: Tenant, api: Api):
    letters = await dead(api, tenant, 2)
    [open_one] = await accepted(api, tenant, 1)
    unknown = text_of(api.services.new_id())
    ids = [*ids_of(letters), text_of(open_one.result_id), unknown]
    api.hinted.clear()

    answer = (await tenant.post("/dead-letters/replay", {"ids": [*ids, ids[0]]})).json

    assert (answer["replayed"], answer["more"]) == (2, False)
    assert {item["id"]: (item["outcome"], item["status"]) for item in answer["items"]} == {
        ids[0]: ("replayed", "accepted"),
        ids[1]: ("replayed", "accepted"),
        ids[2]: ("not_dead_letter", "accepted"),
        ids[3]: ("not_found", None),
    }
    assert ids_of(api.hinted) == ids_of(letters)
    again = (await tenant.post("/dead-letters/replay", {"ids": ids[:2]})).json
    assert again["replayed"] == 0
    assert {item["outcome"] for item in again["items"]} == {"not_dead_letter"}
    assert await listed(tenant) == []


async def test_a_replay_is_in_the_log_with_the_key_that_asked_for_it(tenant: Tenant, api: Api):
    [letter] = await dead(api, tenant, 1)
    await tenant.post("/dead-letters/replay", {"filter": {}})

    path = f"/communications/{text_of(letter.result_id)}"
    last = (await tenant.get(f"{path}/events")).json["items"][-1]
    [shown] = (await tenant.get(path)).json["recipients"]

    assert last["event"] == "REPLAYED"
    assert last["details"] == {"reason": "replayed", "by": f"key {tenant.key.split('_')[2]}"}
    assert (shown["status"], shown["failure"]) == ("accepted", None)


async def test_by_a_filter_the_oldest_are_replayed_and_the_rest_by_repeating(
    tenant: Tenant, api: Api
):
    for _ in range(2):
        await dead(api, tenant, 3, campaign="spring")
    nobody = await dead(api, tenant, 1, why=NOBODY, campaign="spring")
    body = {"filter": {"class": "transient", "campaign": "spring"}, "limit": 4}

    answers = [(await tenant.post("/dead-letters/replay", body)).json for _ in range(3)]

    assert [(a["replayed"], a["more"]) for a in answers] == [(4, True), (2, False), (0, False)]
    assert await listed(tenant) == ids_of(nobody)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/filter": "missing"}),
        ({"ids": []}, {"/ids": "too_short"}),
        ({"ids": ["x"]}, {"/ids/0": "string_pattern_mismatch"}),
        ({"ids": [text_of(bytes(16))], "filter": {}}, {"/filter": "excluded"}),
        ({"ids": [text_of(bytes(16))], "limit": 3}, {"/limit": "excluded"}),
        ({"ids": [text_of(bytes(16))] * (REPLAY_MAX + 1)}, {"/ids": "too_long"}),
        ({"filter": {}, "limit": REPLAY_MAX + 1}, {"/limit": "less_than_equal"}),
        ({"filter": {"class": "bad"}}, {"/filter/class": "literal_error"}),
        ({"filter": {"class_": "policy"}}, {"/filter/class_": "extra_forbidden"}),
        ({"filter": {"failed_to": "now"}}, {"/filter/failed_to": "time_invalid"}),
        ({"filter": {"campaign": {"$ne": None}}}, {"/filter/campaign/$ne": "name_forbidden"}),
    ],
)
async def test_a_wrong_replay_is_refused_and_changes_nothing(
    tenant: Tenant, api: Api, body, pointers
):
    letters = await dead(api, tenant, 1)

    answer = await tenant.post("/dead-letters/replay", body)

    assert (answer.status, answer.pointers) == (422, pointers)
    assert await listed(tenant) == ids_of(letters)


async def test_another_clients_dead_letters_are_none(tenant: Tenant, other: Tenant, api: Api):
    letters = await dead(api, tenant, 2)

    foreign = (await other.post("/dead-letters/replay", {"ids": ids_of(letters)})).json
    everything = (await other.post("/dead-letters/replay", {"filter": {}})).json

    assert {item["outcome"] for item in foreign["items"]} == {"not_found"}
    assert everything == {"replayed": 0, "more": False, "items": []}
    assert await listed(other) == []
    assert (await other.get("/dead-letters/summary")).json == {"total": 0, "items": []}
    assert await listed(tenant) == ids_of(letters)


async def test_a_key_that_cannot_send_replays_nothing(tenant: Tenant, api: Api):
    letters = await dead(api, tenant, 1)
    key = await api.services.access.create_key(tenant.client.id, live=False)
    test = Tenant(base=tenant.base, session=tenant.session, client=tenant.client, key=key.text)

    assert (await test.post("/dead-letters/replay", {"filter": {}})).status == 403
    assert await listed(tenant) == ids_of(letters)


async def test_what_is_replayed_counts_as_new_work_for_the_clients_limit(migrated, session):
    api = build_api(migrated.mongo_uri("platform"), client_max=3)
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        letters = await dead(api, tenant, 3)

        assert (await tenant.post("/dead-letters/replay", {"filter": {}})).status == 429
        assert await listed(tenant) == ids_of(letters)
        api.services.backlog.update(0, {})
        assert (await tenant.post("/dead-letters/replay", {"filter": {}})).json["replayed"] == 3
        assert (await tenant.post("/communications", email())).status == 429
    await api.close()


async def test_of_callers_at_the_same_time_one_replays_each_letter(tenant: Tenant, api: Api):
    letters = await dead(api, tenant, 20)

    answers = await asyncio.gather(
        *(tenant.post("/dead-letters/replay", {"filter": {}}) for _ in range(5))
    )

    assert sum(answer.json["replayed"] for answer in answers) == 20
    stored = await api.services.dead_letters.items(
        tenant.client.id, [letter.result_id for letter in letters]
    )
    assert {item.status for item in stored.values()} == {Status.ACCEPTED}
    await eventually(lambda: len(api.hinted) >= 20, within_s=5)
