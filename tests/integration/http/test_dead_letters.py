"""Dead letters over HTTP: found by what went wrong, and counted."""

from datetime import timedelta
from typing import Any

import pytest

from cdp.domain.ids import ResultId, id_from_text, text_of
from tests.integration.http.conftest import Tenant, email, make_tenant, served
from tests.integration.http.dead_letters import (
    NOBODY,
    E,
    accepted,
    dead,
    failed,
    happens,
    ids_of,
    listed,
    without_content,
)
from tests.integration.http.services import Api, HeldClock, build_api


async def test_a_dead_letter_says_all_that_is_known_of_its_failure(tenant: Tenant, api: Api):
    [item] = await dead(api, tenant, 1, reason="attempts_spent", campaign="spring", reference="r1")

    [letter] = (await tenant.get("/dead-letters")).json["items"]

    assert letter["failure"] == {
        "class": "transient",
        "reason": "attempts_spent",
        "code": "451 4.3.0",
        "provider": "smtp",
        "detail": "451 4.3.0 it said",
    }
    assert (letter["status"], letter["reason"]) == ("undeliverable", "attempts_spent")
    assert (letter["campaign"], letter["reference"]) == ("spring", "r1")
    assert letter["failed_at"] == letter["updated_at"]
    # The same, without the provider's words, wherever the result is shown.
    brief = {k: v for k, v in letter["failure"].items() if k != "detail"}
    one = (await tenant.get(f"/communications/{text_of(item.result_id)}")).json
    [entry] = (await tenant.get("/communications?campaign=spring")).json["items"]
    assert one["recipients"][0]["failure"] == entry["failure"] == brief


async def test_what_an_older_version_gave_up_meanwhile_is_shown_all_the_same(
    tenant: Tenant, api: Api
):
    [item] = await without_content(api, tenant, 1)
    await api.database["delivery_results"].update_one(
        {"_id": item.result_id}, {"$unset": {"failure": ""}}
    )

    [letter] = (await tenant.get("/dead-letters")).json["items"]
    summary = (await tenant.get("/dead-letters/summary")).json

    assert (letter["failure"]["class"], letter["reason"]) == ("config", "template_missing")
    assert summary["total"] == 1


async def test_each_event_that_is_a_failure_says_so(tenant: Tenant, api: Api):
    [item] = await dead(api, tenant, 1, reason="attempts_spent", why=("config", "535 5.7.8"))

    events = (await tenant.get(f"/communications/{text_of(item.result_id)}/events")).json["items"]

    said = {event["event"]: event["failure"] for event in events}
    assert said["DELIVERY_FAILED"] == {
        "class": "config",
        "reason": "config",
        "code": "535 5.7.8",
        "provider": "smtp",
        "detail": "535 5.7.8 it said",
    }
    assert said["UNDELIVERABLE"] == {**said["DELIVERY_FAILED"], "reason": "attempts_spent"}
    assert {said["CREATED"], said["QUEUED"], said["DELIVERY_ATTEMPTED"]} == {None}


async def test_while_it_is_tried_again_a_result_shows_what_went_wrong_last(
    tenant: Tenant, api: Api
):
    [item] = await accepted(api, tenant, 1)
    path = f"/communications/{text_of(item.result_id)}"
    assert (await tenant.get(path)).json["recipients"][0]["failure"] is None

    [item] = await happens(api, await failed(api, [item]), E.SCHEDULED, reason="retry")

    [shown] = (await tenant.get(path)).json["recipients"]
    assert (shown["status"], shown["reason"]) == ("scheduled", "retry")
    assert (shown["failure"]["class"], shown["failure"]["code"]) == ("transient", "451 4.3.0")
    assert await listed(tenant) == []


async def test_a_batchs_results_have_the_failure_in_columns(tenant: Tenant, api: Api):
    answer = await tenant.post("/communications/batch", [email()])
    found = ResultId(id_from_text(answer.json["items"][0]["id"]))
    items = await api.services.dead_letters.items(tenant.client.id, [found])
    items_failed = await failed(api, list(items.values()), why=NOBODY)
    await happens(api, items_failed, E.UNDELIVERABLE, reason="address")

    text = (await tenant.get(f"/batches/{answer.json['batch_id']}/results?format=csv")).body

    head, row = (line.split(",") for line in text.decode().splitlines())
    cells = dict(zip(head, row, strict=True))
    assert [cells[f"failure_{name}"] for name in ("class", "code", "provider")] == [
        "permanent",
        "550 5.1.1",
        "smtp",
    ]


async def test_they_are_found_by_what_went_wrong_and_where(tenant: Tenant, api: Api):
    spent = await dead(api, tenant, 2, reason="attempts_spent", campaign="spring")
    nobody = await dead(api, tenant, 2, why=NOBODY, campaign="spring", provider="other")
    missing = await without_content(api, tenant, 1)
    await accepted(api, tenant, 2)

    assert await listed(tenant) == ids_of([*spent, *nobody, *missing])
    assert await listed(tenant, "class=transient") == ids_of(spent)
    assert await listed(tenant, "class=permanent") == ids_of(nobody)
    assert await listed(tenant, "class=config") == ids_of(missing)
    assert await listed(tenant, "reason=attempts_spent") == ids_of(spent)
    assert await listed(tenant, "provider=other") == ids_of(nobody)
    assert await listed(tenant, "campaign=spring&provider=smtp") == ids_of(spent)
    assert await listed(tenant, "channel=email&campaign=autumn") == []
    assert await listed(tenant, "channel=sms") == []


async def test_they_are_found_by_the_times_of_acceptance_and_failure(migrated, session):
    clock = HeldClock()
    api = build_api(migrated.mongo_uri("platform"), clock=clock)
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        early = await accepted(api, tenant, 2)
        clock.advance(timedelta(minutes=1))
        border = clock.now()
        late = await accepted(api, tenant, 2)
        clock.advance(timedelta(minutes=1))
        first = [early[0], late[0]]
        for items in (first, [early[1], late[1]]):
            await happens(api, items, E.UNDELIVERABLE, reason="template_missing")
            between = clock.now()
            clock.advance(timedelta(minutes=1))
        time, failed = f"{border:%Y-%m-%dT%H:%M:%S.%fZ}", f"{between:%Y-%m-%dT%H:%M:%S.%fZ}"

        assert await listed(tenant, f"created_from={time}") == ids_of(late)
        assert await listed(tenant, f"created_to={time}") == ids_of(early)
        assert await listed(tenant, f"failed_to={failed}") == ids_of(first)
        assert await listed(tenant, f"failed_from={failed}") == ids_of([early[1], late[1]])
        both = f"failed_to={failed}&created_from={time}"
        assert await listed(tenant, both) == ids_of([late[0]])
    await api.close()


async def test_pages_go_from_the_newest_failure_to_the_oldest_without_a_gap(
    tenant: Tenant, api: Api
):
    # Of each group all failed at the very same moment.
    for _ in range(3):
        await without_content(api, tenant, 5)
    seen: list[dict[str, Any]] = []
    cursor = ""

    while cursor is not None:
        page = (await tenant.get(f"/dead-letters?limit=4{cursor and f'&cursor={cursor}'}")).json
        seen += page["items"]
        cursor = page["next_cursor"]

    assert len({letter["id"] for letter in seen}) == len(seen) == 15
    places = [(letter["failed_at"], letter["id"]) for letter in seen]
    assert places == sorted(places, reverse=True)


async def test_they_are_counted_by_reason(tenant: Tenant, api: Api):
    await dead(api, tenant, 1, reason="attempts_spent", why=("config", "535"))
    await dead(api, tenant, 3, reason="attempts_spent", campaign="spring")
    await without_content(api, tenant, 2)

    summary = (await tenant.get("/dead-letters/summary")).json
    spring = (await tenant.get("/dead-letters/summary?campaign=spring")).json

    counts = [(each["class"], each["reason"], each["count"]) for each in summary["items"]]
    assert counts == [
        ("transient", "attempts_spent", 3),
        ("config", "template_missing", 2),
        ("config", "attempts_spent", 1),
    ]
    assert summary["total"] == 6
    assert (spring["total"], len(spring["items"])) == (3, 1)
    assert all(each["first_failed_at"] <= each["last_failed_at"] for each in summary["items"])


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("class=bad", {"class": "invalid"}),
        ("failed_from=yesterday&created_to=x", {"failed_from": "invalid", "created_to": "invalid"}),
        ("reason=a%00b", {"reason": "invalid"}),
        ("status=undeliverable", {"status": "unknown"}),
        ("limit=0", {"limit": "out_of_range"}),
    ],
)
async def test_a_wrong_question_is_refused(tenant: Tenant, query, pointers):
    assert (await tenant.get(f"/dead-letters?{query}")).pointers == pointers
    if "limit" not in query:
        assert (await tenant.get(f"/dead-letters/summary?{query}")).pointers == pointers


async def test_a_cursor_is_of_one_list_and_one_client(tenant: Tenant, other: Tenant, api: Api):
    await without_content(api, tenant, 2)
    cursor = (await tenant.get("/dead-letters?limit=1")).json["next_cursor"]

    assert (await tenant.get(f"/dead-letters?class=config&cursor={cursor}")).status == 400
    assert (await other.get(f"/dead-letters?limit=1&cursor={cursor}")).status == 400


async def test_questions_read_only_the_keys_of_dead_letters(tenant: Tenant, api: Api):
    await accepted(api, tenant, 50)
    await dead(api, tenant, 30, campaign="spring")
    await dead(api, tenant, 2, campaign="autumn", why=NOBODY)
    results = api.database["delivery_results"]
    mine = {"client_id": tenant.client.id, "status": "undeliverable"}
    find = {
        "find": "delivery_results",
        "filter": {**mine, "campaign": "autumn", "failure.class": "permanent"},
        "sort": {"updated_at": -1, "_id": -1},
        "hint": "dead_letters",
    }
    group = {
        "aggregate": "delivery_results",
        "pipeline": [
            {"$match": mine},
            {"$group": {"_id": "$failure.reason", "count": {"$sum": 1}}},
        ],
        "cursor": {},
        "hint": "dead_letters",
    }

    found = await explained(results, find)
    counted = await explained(results, group)

    assert found["totalDocsExamined"] == 2
    assert found["totalKeysExamined"] <= 40
    assert counted["totalDocsExamined"] == 0
    assert counted["totalKeysExamined"] <= 40


async def explained(collection: Any, command: dict[str, Any]) -> Any:
    """What a command has read."""
    answer = await collection.database.command({"explain": command, "verbosity": "executionStats"})
    if "executionStats" in answer:
        return answer["executionStats"]
    return answer["stages"][0]["$cursor"]["executionStats"]
