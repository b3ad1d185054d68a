"""The suppression list over HTTP."""

from typing import Any

import pytest

from tests.integration.http.conftest import Tenant, email


def entries(*given: dict[str, Any]) -> dict[str, Any]:
    return {"entries": list(given)}


ADA = {"channel": "email", "recipient": "Ada@Example.ORG"}


async def test_an_entry_is_kept_in_one_form_listed_and_taken_away(tenant: Tenant):
    made = await tenant.post("/suppressions", entries(ADA, ADA | {"topic": "news"}))
    listed = (await tenant.get("/suppressions")).json["items"]
    of_topic = (await tenant.get("/suppressions?topic=news")).json["items"]
    gone = await tenant.call("DELETE", f"/suppressions/{made.json['items'][0]['id']}")
    again = await tenant.call("DELETE", f"/suppressions/{made.json['items'][0]['id']}")

    assert (made.status, made.json["kept"]) == (207, 2)
    assert {entry["recipient"] for entry in listed} == {"ada@example.org"}
    assert {entry["topic"] for entry in listed} == {None, "news"}
    assert [(e["topic"], e["reason"], e["source"]) for e in of_topic] == [("news", "manual", "api")]
    assert (gone.status, again.status) == (204, 404)
    assert len((await tenant.get("/suppressions")).json["items"]) == 1


async def test_an_entry_that_is_put_twice_is_one_and_keeps_its_first_reason(tenant: Tenant):
    await tenant.post("/suppressions", entries(ADA | {"reason": "complaint"}))
    await tenant.post("/suppressions", entries(ADA, ADA))

    [entry] = (await tenant.get("/suppressions")).json["items"]

    assert entry["reason"] == "complaint"


async def test_e4_what_is_on_its_way_is_stopped_however_the_address_was_written(tenant: Tenant):
    far = {"send_at": "2030-01-01T00:00:00Z"}
    ids = [
        (await tenant.post("/communications", email(to, **fields))).json["id"]
        for to, fields in (
            ("ada@example.org", far),
            ("Ada@EXAMPLE.org", far),
            ("ada@example.org", {**far, "topic": "news"}),
            ("bob@example.org", far),
        )
    ]

    topic = await tenant.post("/suppressions", entries(ADA | {"topic": "news"}))
    rest = await tenant.post("/suppressions", entries(ADA))

    assert (topic.json["stopped"], rest.json["stopped"]) == (1, 2)
    statuses = [(await tenant.get(f"/communications/{each}")).json["status"] for each in ids]
    assert statuses == ["suppressed", "suppressed", "suppressed", "accepted"]
    log = (await tenant.get(f"/communications/{ids[2]}/events")).json["items"]
    assert log[-1]["event"] == "SUPPRESSED"
    assert log[-1]["details"] == {"reason": "manual", "source": "api", "topic": "news"}


async def test_e4_a_device_is_suppressed_however_its_token_was_written(tenant: Tenant):
    token = "0A1B" * 16
    device = {"device_token": token, "platform": "apns"}
    request = {"channel": "push", "to": [device], "content": {"title": "Hi", "body": "There"}}
    known = (await tenant.post("/communications", request)).json["id"]

    entry = {"channel": "push", "recipient": token}
    answer = await tenant.post("/suppressions", {"entries": [entry]})

    assert answer.json["stopped"] == 1
    assert (await tenant.get(f"/communications/{known}")).json["status"] == "suppressed"


async def test_what_is_wrong_with_one_entry_is_not_the_others_matter(tenant: Tenant):
    answer = await tenant.post(
        "/suppressions",
        entries(
            {"channel": "sms", "recipient": "0151"},
            {"channel": "sms", "recipient": "+4915112345678"},
        ),
    )

    assert [item["status"] for item in answer.json["items"]] == [422, 201]
    assert answer.json["items"][0]["problem"]["errors"][0]["pointer"] == "/recipient"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, {"/entries": "missing"}),
        (entries(), {"/entries": "too_short"}),
        (entries({"channel": "fax", "recipient": "x"}), {"/entries/0/channel": "literal_error"}),
        (entries(ADA | {"reason": "because"}), {"/entries/0/reason": "literal_error"}),
        (entries(ADA | {"recipient": ""}), {"/entries/0/recipient": "string_too_short"}),
    ],
)
async def test_wrong_bodies_are_refused(tenant: Tenant, body, pointers):
    answer = await tenant.post("/suppressions", body)

    assert (answer.status, answer.pointers) == (422, pointers)


async def test_a4_another_clients_list_is_its_own(tenant: Tenant, other: Tenant):
    made = await tenant.post("/suppressions", entries(ADA))
    sent = await other.post(
        "/communications", email("ada@example.org", send_at="2030-01-01T00:00:00Z")
    )
    await tenant.post("/suppressions", entries(ADA | {"topic": "x"}))

    assert (await other.get("/suppressions")).json["items"] == []
    foreign = await other.call("DELETE", f"/suppressions/{made.json['items'][0]['id']}")
    assert foreign.status == 404
    shown = await other.get(f"/communications/{sent.json['id']}")
    assert shown.json["status"] == "accepted"


async def test_one_entry_is_shown_with_its_note_and_anothers_is_none(tenant: Tenant, other: Tenant):
    made = await tenant.post("/suppressions", entries(ADA | {"note": "by phone"}))
    path = f"/suppressions/{made.json['items'][0]['id']}"

    shown = (await tenant.get(path)).json

    assert (shown["recipient"], shown["note"]) == ("ada@example.org", "by phone")
    assert [(await other.get(path)).status, (await tenant.get("/suppressions/x")).status] == [
        404
    ] * 2


async def test_a_recipient_is_found_in_any_spelling_where_the_channel_is_named(tenant: Tenant):
    await tenant.post("/suppressions", entries(ADA))

    async def found(query: str) -> int:
        return len((await tenant.get(f"/suppressions?{query}")).json["items"])

    assert await found("channel=email&recipient=ADA@example.org") == 1
    assert await found("recipient=ada@example.org") == 1
    assert await found("recipient=ADA@example.org") == 0
    assert await found("channel=email&recipient=nobody") == 0
