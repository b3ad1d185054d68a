"""To send, to look, to change, to take back: over HTTP, on a real MongoDB."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cdp.domain.event import EventName
from cdp.domain.ids import id_from_text, unix_ms_of
from cdp.http.app import ROUTES, build_app
from cdp.services.communication_service import Move
from tests.integration.http.conftest import Tenant, email, listening
from tests.integration.http.services import Api
from tests.waiting import eventually


async def test_what_is_accepted_can_be_read_at_once(tenant: Tenant, api: Api):
    answer = await tenant.post("/communications", email("Ada@Example.ORG", reference="r1"))

    assert answer.status == 202
    accepted = answer.json
    assert accepted["status"] == "accepted"
    assert accepted["recipients"] == [{"id": accepted["id"], "to": "Ada@example.org"}]
    found = (await tenant.get(f"/communications/{accepted['id']}")).json
    assert found["status"] == "accepted"
    assert found["reference"] == "r1"
    assert found["created_at"] == accepted["created_at"]
    assert found["counts"]["accepted"] == found["counts"]["pending"] == 1
    assert id_from_text(accepted["id"]) in {item.result_id for item in api.hinted}


async def test_each_recipient_has_its_own_state(tenant: Tenant):
    to = [{"email": f"r{n}@example.org", "name": f"R{n}"} for n in range(3)]
    accepted = (await tenant.post("/communications", email() | {"to": to})).json

    ids = [recipient["id"] for recipient in accepted["recipients"]]
    assert len({*ids, accepted["id"]}) == 4
    found = (await tenant.get(f"/communications/{accepted['id']}")).json
    assert [(r["id"], r["to"], r["name"]) for r in found["recipients"]] == [
        (ids[n], f"r{n}@example.org", f"R{n}") for n in range(3)
    ]
    assert (await tenant.get(f"/communications/{ids[1]}")).json == found
    events = (await tenant.get(f"/communications/{accepted['id']}/events")).json["items"]
    assert [event["recipient_id"] for event in events] == ids


async def test_cancelling_one_recipient_leaves_the_others(tenant: Tenant):
    to = [{"email": f"r{n}@example.org"} for n in range(3)]
    accepted = (await tenant.post("/communications", email() | {"to": to})).json
    ids = [recipient["id"] for recipient in accepted["recipients"]]

    one = await tenant.post(f"/communications/{ids[0]}/cancel")
    rest = await tenant.post(f"/communications/{accepted['id']}/cancel")
    again = await tenant.post(f"/communications/{accepted['id']}/cancel")

    assert [(r["id"], r["changed"]) for r in one.json["recipients"]] == [(ids[0], True)]
    assert {r["id"]: r["changed"] for r in rest.json["recipients"]} == {
        ids[0]: False, ids[1]: True, ids[2]: True,
    }  # fmt: skip
    assert again.status == 409
    assert again.json["type"] == "urn:cdp:problem:too-late"
    found = (await tenant.get(f"/communications/{accepted['id']}")).json
    assert found["status"] == "cancelled"
    assert found["counts"]["cancelled"] == 3


async def test_what_is_being_sent_can_not_be_cancelled_or_changed(tenant: Tenant, api: Api):
    accepted = (await tenant.post("/communications", email())).json
    item = next(i for i in api.hinted if i.result_id == id_from_text(accepted["id"]))
    for name in (EventName.SCHEDULED, EventName.CONTENT_RESOLVED, EventName.QUEUED):
        [after] = await api.communications.advance([Move(item=item, name=name)])
        assert after is not None
        item = after
    await api.communications.advance([Move(item=item, name=EventName.DELIVERY_ATTEMPTED)])

    cancelled = await tenant.post(f"/communications/{accepted['id']}/cancel")
    changed = await tenant.call("PATCH", f"/communications/{accepted['id']}", {"priority": "low"})

    assert (cancelled.status, changed.status) == (409, 409)


async def test_times_and_priority_can_be_changed_and_taken_away(tenant: Tenant):
    accepted = (await tenant.post("/communications", email())).json
    path = f"/communications/{accepted['id']}"

    change = {"send_at": "2031-01-01T12:00:00.5+02:00", "priority": "high"}
    later = await tenant.call("PATCH", path, change)
    backward = await tenant.call("PATCH", path, {"expires_at": "2030-12-31T00:00:00Z"})
    never = await tenant.call("PATCH", path, {"send_at": None})

    assert later.status == 200
    [recipient] = later.json["recipients"]
    assert recipient["send_at"] == "2031-01-01T10:00:00.500000Z"
    assert (recipient["status"], recipient["priority"]) == ("scheduled", "high")
    assert backward.pointers == {"/expires_at": "too_early"}
    assert never.json["recipients"][0]["send_at"] is None
    found = (await tenant.get(path)).json
    assert (found["send_at"], found["priority"]) == (None, "high")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({}, ""),
        ({"priority": None}, "/priority"),
        ({"priority": "urgent"}, "/priority"),
        ({"status": "delivered"}, "/status"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"send_at": 1}, "/send_at"),
    ],
)
async def test_a_wrong_change_is_refused_with_its_pointer(tenant: Tenant, change, pointer):
    accepted = (await tenant.post("/communications", email())).json

    answer = await tenant.call("PATCH", f"/communications/{accepted['id']}", change)

    assert answer.status == 422
    assert list(answer.pointers) == [pointer]


async def test_content_is_not_there_before_it_is_rendered(tenant: Tenant):
    one = (await tenant.post("/communications", email())).json
    to = [{"email": "a@example.org"}, {"email": "b@example.org"}]
    two = (await tenant.post("/communications", email() | {"to": to})).json

    assert (await tenant.get(f"/communications/{one['id']}/content")).status == 404
    assert (await tenant.get(f"/communications/{two['id']}/content")).status == 409


async def past_millisecond_of(text: str) -> None:
    """Two ids of one millisecond would sort by chance."""
    made_ms = unix_ms_of(id_from_text(text))
    await eventually(lambda: time.time() * 1000 >= made_ms + 1, within_s=2)


async def test_the_list_is_filtered_and_paged(tenant: Tenant):
    before = datetime.now(UTC) - timedelta(minutes=1)
    ids = []
    for n in range(5):
        fields = {"reference": f"r{n % 2}", "campaign": "spring"}
        ids.append(
            (await tenant.post("/communications", email(f"l{n}@x.example", **fields))).json["id"]
        )
        await past_millisecond_of(ids[-1])
    await tenant.post(f"/communications/{ids[0]}/cancel")

    async def listed(query: str) -> list[str]:
        answer = await tenant.get(f"/communications?{query}")
        assert answer.status == 200, answer.body
        return [item["id"] for item in answer.json["items"]]

    newest_first = ids[::-1]
    assert await listed("campaign=spring") == newest_first
    assert await listed("status=cancelled") == [ids[0]]
    assert await listed("reference=r1") == [ids[3], ids[1]]
    assert await listed("recipient=l2%40X.EXAMPLE") == [ids[2]]
    assert await listed("campaign=autumn") == []
    assert await listed(f"created_from={before:%Y-%m-%dT%H:%M:%SZ}") == newest_first
    assert await listed(f"created_to={before:%Y-%m-%dT%H:%M:%SZ}") == []
    first = (await tenant.get("/communications?limit=2")).json
    second = (await tenant.get(f"/communications?limit=2&cursor={first['next_cursor']}")).json
    third = (await tenant.get(f"/communications?limit=2&cursor={second['next_cursor']}")).json
    pages = [*first["items"], *second["items"], *third["items"]]
    assert [item["id"] for item in pages] == newest_first
    assert third["next_cursor"] is None


async def test_a9_a_cursor_is_good_only_for_its_client_and_list(tenant: Tenant, other: Tenant):
    for _ in range(2):
        await tenant.post("/communications", email())
    cursor = (await tenant.get("/communications?limit=1")).json["next_cursor"]

    foreign = await other.get(f"/communications?cursor={cursor}")
    altered = await tenant.get(
        f"/communications?cursor={'A' if cursor[0] != 'A' else 'B'}{cursor[1:]}"
    )
    elsewhere = await tenant.get(f"/templates?cursor={cursor}")
    filtered = await tenant.get(f"/communications?status=accepted&cursor={cursor}")

    for answer in (foreign, altered, elsewhere, filtered):
        assert answer.status == 400
        assert answer.json["type"] == "urn:cdp:problem:bad-cursor"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("status=done", "status"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=%D9%A1", "limit"),
        ("recipient=no@body", "recipient"),
        ("channel=email&recipient=nobody", "recipient"),
        ("channel=sms&recipient=nobody", "recipient"),
        ("batch_id=1", "batch_id"),
        ("created_from=yesterday", "created_from"),
        ("created_from=0001-01-01T00:00:00%2B23:00", "created_from"),
        ("campaign=%00", "campaign"),
        ("status[$ne]=x", "status[$ne]"),
        ("limit=1&limit=2", "limit"),
        ("status=%ff", ""),
    ],
)
async def test_a_wrong_parameter_is_refused_by_name(tenant: Tenant, query, pointer):
    answer = await tenant.get(f"/communications?{query}")

    assert answer.status == 422
    assert list(answer.pointers) == [pointer]


MAKES = tuple(
    f"PUT /{kind}/{{name}}"
    for kind in ("templates", "segments", "senders", "campaigns", "sftp-accounts")
)
"""Routes that make a thing of one's own where there is none."""


async def test_a4_every_route_answers_404_to_another_clients_id(tenant: Tenant, other: Tenant):
    accepted = (await tenant.post("/communications", email())).json
    batch = (await tenant.post("/communications/batch", [email()])).json
    config = (await tenant.post("/delivery-configs", {"attempts_max": 3})).json
    await tenant.call("PUT", "/templates/mine", {"email": {"subject": "s", "text": "t"}})
    await tenant.call("PUT", "/segments/mine", {})
    await tenant.call("PUT", "/senders/mine", {"channel": "push"})
    campaign = (await tenant.call("PUT", "/campaigns/mine", {})).json
    assignment = {"channel": "email", "template": "mine"}
    await tenant.call("PUT", "/segments/mine/assignments", assignment)
    ids = {"batches": batch["batch_id"], "delivery-configs": config["id"]}
    bodies = {
        "PATCH /communications/{id}": {"priority": "low"},
        "POST /templates/{name}/render": {},
        "POST /templates/{name}/publish": {"version": 1},
        "PUT /delivery-configs/{id}": {"attempts_max": 9},
        "PUT /providers/{name}": {"settings": {}},
        "PUT /segments/{name}/assignments": assignment,
    }
    tried = 0

    for route in ROUTES:
        if "{" not in route.path or route.name in MAKES:
            continue
        foreign = ids.get(route.path.split("/")[1], accepted["id"])
        path = route.path.replace("{id}", foreign).replace("{name}", "mine")
        required = [p["name"] for p in route.operation.parameters if p.get("required")]
        given = {"channel": "email", "from": 1, "to": 1}
        query = "?" + "&".join(f"{name}={given[name]}" for name in required if name in given)
        query += "user=ada" if route.for_recipients else ""
        answer = await other.call(route.method, path + query, bodies.get(route.name))
        assert (answer.status, route.name) == (404, route.name)
        tried += 1

    assert tried >= 17
    assert (await tenant.get(f"/communications/{accepted['id']}")).json["status"] == "accepted"
    assert (await tenant.get(f"/delivery-configs/{config['id']}")).json == config
    assert len((await tenant.get("/segments/mine")).json["assignments"]) == 1
    mine = (await tenant.get("/campaigns/mine")).json
    assert (mine["state"], mine["version"]) == (campaign["state"], campaign["version"])
    assert (await other.get("/communications")).json["items"] == []


async def test_it_works_where_a_server_has_mounted_it(tenant: Tenant, api: Api):
    inner = build_app(api.services)
    seen = []

    async def behind_a_mount(scope, receive, send):
        # One server strips the prefix from the path, another leaves it.
        for path in (scope["path"], scope["path"].removeprefix("/v1")):
            sent: list[Any] = []

            async def collect(message, sent=sent):
                sent.append(message)

            await inner({**scope, "root_path": "/v1", "path": path}, receive, collect)
            seen.append(sent[0]["status"])
        for message in sent:
            await send(message)

    async with listening(behind_a_mount) as base:
        tenant.base = base
        answer = await tenant.get("/communications")
        unknown = await tenant.get("/nothing")

    assert answer.status == 200
    assert unknown.status == 404
    assert seen == [200, 200, 404, 404]
