"""Engagement that a client's own app reports."""

from datetime import timedelta

from cdp.ports.clock import SystemClock
from tests.integration.http.conftest import Tenant, email
from tests.integration.http.services import Api
from tests.integration.http.test_inbox import attempted

CLOCK = SystemClock()


async def sent(tenant: Tenant, api: Api, *, is_attempted: bool = True) -> str:
    """A communication, and whether it was attempted."""
    known = str((await tenant.post("/communications", email())).json["id"])
    if is_attempted:
        await attempted(api, api.hinted[-1])
    return known


async def test_what_an_app_reports_is_recorded_once(tenant: Tenant, api: Api):
    known = await sent(tenant, api)
    events = [
        {"id": known, "event": "opened"},
        {"id": known, "event": "read", "occurred_at": CLOCK.now().isoformat()},
        {"id": known, "event": "clicked", "url": "https://shop.example/a"},
        {"id": known, "event": "clicked", "url": "https://shop.example/b"},
    ]

    first = await tenant.post("/tracking/events", {"events": events})
    await tenant.post("/tracking/events", {"events": events})

    assert (first.status, first.json["recorded"]) == (207, 4)
    log = (await tenant.get(f"/communications/{known}/events")).json["items"]
    engaged = sorted(each["event"] for each in log if each["number"] is None)
    assert engaged == ["CLICKED", "CLICKED", "OPENED", "READ"]
    [shown] = (await tenant.get(f"/communications/{known}")).json["recipients"]
    assert all(shown[name] for name in ("opened_at", "read_at", "clicked_at"))


async def test_a4_what_is_not_ones_own_or_was_not_attempted_is_not_recorded(
    tenant: Tenant, other: Tenant, api: Api
):
    foreign = await sent(other, api)
    waiting = await sent(tenant, api, is_attempted=False)
    unknown = "01900000-0000-7000-8000-000000000000"

    answer = await tenant.post(
        "/tracking/events",
        {"events": [{"id": each, "event": "read"} for each in (foreign, waiting, unknown)]},
    )

    assert [item["status"] for item in answer.json["items"]] == [404, 404, 404]
    log = (await other.get(f"/communications/{foreign}/events")).json["items"]
    assert all(each["number"] is not None for each in log)


async def test_wrong_reports_are_named_and_nothing_is_recorded(tenant: Tenant, api: Api):
    known = await sent(tenant, api)
    long_ago = (CLOCK.now() - timedelta(days=31)).isoformat()
    ahead = (CLOCK.now() + timedelta(hours=1)).isoformat()

    answer = await tenant.post(
        "/tracking/events",
        {
            "events": [
                {"id": known, "event": "opened"},
                {"id": "x", "event": "opened"},
                {"id": known, "event": "opened", "occurred_at": long_ago},
                {"id": known, "event": "opened", "occurred_at": ahead},
            ]
        },
    )
    word = await tenant.post("/tracking/events", {"events": [{"id": known, "event": "bounced"}]})

    assert answer.pointers == {
        "/events/1/id": "id_invalid",
        "/events/2/occurred_at": "out_of_bounds",
        "/events/3/occurred_at": "out_of_bounds",
    }
    assert word.pointers == {"/events/0/event": "literal_error"}
    log = (await tenant.get(f"/communications/{known}/events")).json["items"]
    assert all(each["number"] is not None for each in log)
