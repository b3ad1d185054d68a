"""Seeing and reading an entry are events of its communication, whatever goes wrong in between."""

from cdp.domain.ids import text_of
from cdp.ports.inbox import InboxEntry
from cdp.storage.inbox import InboxEntries
from tests.integration.http.conftest import Tenant
from tests.integration.http.inbox_reader import failing
from tests.integration.http.services import Api
from tests.integration.http.test_inbox import CLOCK, attempted, call, token_of
from tests.integration.http.test_inbox_stream import admin as admin  # a fixture


async def delivered(tenant: Tenant, api: Api, count: int = 1) -> list[str]:
    """Communications that stand in Ada's inbox; their ids, the oldest first."""
    body = {
        "channel": "in_app", "to": [{"user": "ada"}], "content": {"title": "Hi", "body": "There"},
    }  # fmt: skip
    known = [str((await tenant.post("/communications", body)).json["id"]) for _ in range(count)]
    entries = []
    for item in [item for item in api.hinted if text_of(item.result_id) in known]:
        await attempted(api, item)
        entries.append(
            InboxEntry(
                result_id=item.result_id, client_id=tenant.client.id, user="ada", title="Hi",
                body="There", created_at=CLOCK.now(),
            )
        )  # fmt: skip
    await InboxEntries(api.database).put(entries)
    return known


async def engaged(tenant: Tenant, known: str) -> list[str]:
    """What the recipient is known to have done."""
    log = (await tenant.get(f"/communications/{known}/events")).json["items"]
    return sorted(each["event"] for each in log if each["number"] is None)


async def test_seeing_and_reading_are_events_of_the_communication(tenant: Tenant, api: Api):
    [known] = await delivered(tenant, api)
    token = await token_of(tenant)

    for mark in ("seen", "read", "read"):
        await call(tenant, token, "POST", "/inbox/mark", {"ids": [known], "mark": mark})

    assert await engaged(tenant, known) == ["OPENED", "READ"]
    [shown] = (await tenant.get(f"/communications/{known}")).json["recipients"]
    assert shown["opened_at"]
    assert shown["read_at"]


async def test_archiving_is_none(tenant: Tenant, api: Api):
    [known] = await delivered(tenant, api)
    token = await token_of(tenant)

    for verb in ("archive", "unarchive"):
        await call(tenant, token, "POST", f"/inbox/{known}/{verb}")

    assert await engaged(tenant, known) == []


async def test_reading_all_up_to_an_entry_is_an_event_of_each(tenant: Tenant, api: Api):
    known = await delivered(tenant, api, count=3)
    body = {"up_to": known[1], "mark": "read"}

    await call(tenant, await token_of(tenant), "POST", "/inbox/mark", body)

    assert [await engaged(tenant, each) for each in known] == [["READ"], ["READ"], []]


async def test_a_read_that_was_not_recorded_is_recorded_by_the_next_try(
    tenant: Tenant, api: Api, admin
):
    known = await delivered(tenant, api, count=2)
    token, body = await token_of(tenant), {"up_to": known[1], "mark": "read"}
    cut = {"closeConnection": True}

    # One try gets no event in, the next no entry marked.
    statuses = []
    for command in ("insert", "update"):
        async with failing(admin, [command], "alwaysOn", **cut):
            statuses.append((await call(tenant, token, "POST", "/inbox/mark", body)).status)
        statuses.append((await call(tenant, token, "GET", "/inbox/unread-count")).json["unread"])
    answer = await call(tenant, token, "POST", "/inbox/mark", body)

    assert statuses == [503, 2, 503, 2]
    assert (answer.status, answer.json["unread"]) == (200, 0)
    assert [await engaged(tenant, each) for each in known] == [["READ"], ["READ"]]
    [shown] = (await tenant.get(f"/communications/{known[0]}")).json["recipients"]
    assert shown["read_at"]
