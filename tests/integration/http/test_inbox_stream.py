"""The live stream of an inbox over a real socket: it loses nothing, and it comes to an end."""

import asyncio
import contextlib
import dataclasses
import os
from datetime import timedelta
from typing import Any

import pytest
from pymongo.monitoring import CommandListener

from cdp.domain.ids import ResultId, fresh_id, text_of
from cdp.domain.inbox import unix_ms
from cdp.services.inbox_streams import CATCH_UP_MAX, StreamLimits
from cdp.telemetry import Telemetry
from tests.integration.conftest import Embedded
from tests.integration.http.conftest import Tenant, served
from tests.integration.http.inbox_reader import Reader, failing, following, streaming
from tests.integration.http.inbox_reader import admin as admin  # a fixture
from tests.integration.http.services import Api, build_api
from tests.integration.http.test_inbox import CLOCK, entry, token_of
from tests.integration.http.test_inbox import entries as entries  # a fixture
from tests.waiting import eventually


async def test_a_new_entry_and_the_count_are_told_and_only_to_their_user(tenant: Tenant, entries):
    async with following(tenant) as ada, following(tenant, user="bob") as bob:
        assert ada.answer.headers["Content-Type"] == "text/event-stream"
        assert await ada.event() == ("unread", {"unread": 0})
        assert await bob.event() == ("unread", {"unread": 0})
        new = entry(tenant.client.id, title="news", data={"order": 7})

        await entries.put([new])

        name, told = await ada.event()
        assert (name, told["id"], told["data"]) == ("entry", text_of(new.result_id), {"order": 7})
        assert await ada.event() == ("unread", {"unread": 1})
        await entries.put([entry(tenant.client.id, user="bob", title="bob's")])
        assert await bob.titles(1) == ["bob's"]


async def test_what_is_read_elsewhere_changes_the_count(tenant: Tenant, entries):
    one = entry(tenant.client.id)
    await entries.put([one])
    async with following(tenant) as page:
        assert await page.event() == ("unread", {"unread": 1})

        await tenant.post(f"/inbox/{text_of(one.result_id)}/read?user=ada")

        assert await page.event() == ("unread", {"unread": 0})


async def test_who_comes_back_is_told_what_arrived_whenever_it_was_accepted(
    tenant: Tenant, entries
):
    days_ago = ResultId(fresh_id(CLOCK.now() - timedelta(days=3), os.urandom))
    async with following(tenant) as page:
        await page.event()
        await entries.put([entry(tenant.client.id, title="told")])
        assert await page.titles(1) == ["told"]
        await page.event()
        await page.heard()
    scheduled = entry(tenant.client.id, title="accepted before")
    new = entry(
        tenant.client.id, title="new", created_at=scheduled.created_at + timedelta(seconds=1)
    )
    await entries.put([dataclasses.replace(scheduled, result_id=days_ago), new])

    async with following(tenant, since=page.last_id) as page:
        told = await page.titles(2)
        told += await page.titles(1) if "told" in told else []

    assert [title for title in told if title != "told"] == ["accepted before", "new"]


async def test_what_was_told_long_before_is_not_told_again(tenant: Tenant, entries):
    now = CLOCK.now()
    await entries.put([entry(tenant.client.id, title="old", created_at=now - timedelta(minutes=1))])
    async with following(tenant, since=str(unix_ms(now))) as page:
        assert await page.event() == ("unread", {"unread": 1})
        await entries.put([entry(tenant.client.id, title="new")])
        assert await page.titles(1) == ["new"]


async def test_who_has_missed_too_much_is_told_to_read_the_list(tenant: Tenant, entries):
    since = str(unix_ms(CLOCK.now()))
    await entries.put([entry(tenant.client.id) for _ in range(CATCH_UP_MAX + 1)])

    async with following(tenant, since=since) as page:
        assert await page.event() == ("behind", {})
        assert await page.event() == ("unread", {"unread": CATCH_UP_MAX + 1})
        await entries.put([entry(tenant.client.id, title="new")])
        assert await page.titles(1) == ["new"]


async def test_what_comes_while_mongodbs_own_stream_is_broken_is_told(
    tenant: Tenant, api: Api, entries, admin
):
    # The driver mends what it can; this it cannot.
    broken = {"errorCode": 286}
    telemetry = Telemetry()
    async with streaming(api, tenant, telemetry=telemetry), following(tenant) as page:
        await page.event()
        async with failing(admin, ["getMore"], {"times": 1}, **broken) as times:
            await eventually(times, within_s=10)
            await entries.put([entry(tenant.client.id, title="meanwhile")])

            assert await page.titles(1) == ["meanwhile"]
    errors = {name: value for name, labels, value in telemetry.snapshot() if "loop" in name}
    assert errors == {"cdp_loop_errors_total": 1.0}


async def test_while_mongodb_is_away_a_stream_is_refused_or_ends_and_the_next_loses_nothing(
    tenant: Tenant, entries, admin
):
    token = await token_of(tenant)

    async def refused():
        headers = {"Authorization": f"Bearer {token}"}
        async with tenant.session.get(f"{tenant.base}/inbox/stream", headers=headers) as answer:
            if answer.status == 200:
                # Nobody knew yet that it is away. Then there is an end, and no cut.
                assert await Reader(answer).rest() == []
                return None
            return await answer.json(content_type=None)

    async with following(tenant) as page:
        await page.event()
        await page.heard()
        away = ["getMore", "aggregate"]
        async with failing(admin, away, "alwaysOn", closeConnection=True) as times:
            await eventually(times, within_s=10)
            await entries.put([entry(tenant.client.id, title="meanwhile")])
            problem = await eventually(refused, within_s=40)
        assert problem["type"] == "urn:cdp:problem:outcome-unknown"

    async with following(tenant, since=page.last_id) as page:
        assert await page.titles(1) == ["meanwhile"]


async def test_a_stream_ends_after_its_time_and_a_heartbeat_says_how_far_it_was(
    tenant: Tenant, api: Api
):
    began = unix_ms(CLOCK.now())
    async with streaming(api, tenant, stream_s=3.5, heartbeat_s=0.05), following(tenant) as page:
        assert await page.rest() == [("unread", {"unread": 0})]

    # MongoDB says about once a second that nothing has changed.
    assert began + 1_000 <= int(page.last_id) <= unix_ms(CLOCK.now())


async def test_no_heartbeat_claims_what_nobody_could_have_told(
    tenant: Tenant, api: Api, entries, admin
):
    away = ["getMore", "aggregate"]
    async with streaming(api, tenant, heartbeat_s=0.1), following(tenant) as page:
        await page.event()
        async with failing(admin, away, "alwaysOn", closeConnection=True) as times:
            await eventually(times, within_s=10)
            silent_since = unix_ms(CLOCK.now())
            beats = [await page.heard() for _ in range(30)]

    assert max(beats) <= silent_since
    assert unix_ms(CLOCK.now()) - silent_since > 2_000


async def test_head_asks_for_no_stream(tenant: Tenant):
    token = await token_of(tenant)

    answer = await tenant.call(
        "HEAD", "/inbox/stream", headers={"Authorization": f"Bearer {token}"}
    )

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "text/event-stream"


@pytest.mark.parametrize("since", ["x", "-1", "1" * 15, "01900000-0000-7000-8000-000000000000"])
async def test_what_is_no_id_of_an_event_is_refused(tenant: Tenant, since):
    async with following(tenant, since=since, status=422) as refused:
        problem = await refused.answer.json(content_type=None)

    assert [error["pointer"] for error in problem["errors"]] == ["Last-Event-ID"]


async def test_a_time_to_come_is_taken_for_now(tenant: Tenant, entries):
    async with following(tenant, since="9" * 14) as page:
        await page.event()
        await entries.put([entry(tenant.client.id, title="new")])
        assert await page.titles(1) == ["new"]


async def test_a_user_a_client_and_a_process_have_so_many_streams_and_no_more(
    tenant: Tenant, other: Tenant, api: Api
):
    limits = StreamLimits(listeners=3, of_client=2, of_user=1)
    async with streaming(api, tenant, limits=limits), contextlib.AsyncExitStack() as stack:
        other.base = tenant.base

        async def opened(who, user, status=200):
            return await stack.enter_async_context(following(who, user=user, status=status))

        await opened(tenant, "ada")
        of_user = await opened(tenant, "ada", 429)
        bobs = await opened(tenant, "bob")
        of_client = await opened(tenant, "cy", 429)
        await opened(other, "ada")
        in_all = await opened(other, "bob", 503)
        details = [(await r.answer.json(content_type=None))["detail"] for r in
                   (of_user, of_client, in_all)]  # fmt: skip
        bobs.answer.close()

        async def place_is_free():
            async with following(tenant, user="cy") as page:
                return await page.event()

        assert ["user" in details[0], "client" in details[1], details[2]] == [
            True, True, "Too many streams are open.",
        ]  # fmt: skip
        assert of_user.answer.headers["Retry-After"] == "5"
        assert await eventually(place_is_free, within_s=10) == ("unread", {"unread": 0})


async def test_a_page_of_a_known_origin_may_read_the_stream_and_why_it_is_refused(
    tenant: Tenant, api: Api
):
    origin = "https://app.example"
    headers = {"Authorization": f"Bearer {await token_of(tenant)}", "Origin": origin}
    async with streaming(api, tenant, limits=StreamLimits(of_user=1)):
        url = f"{tenant.base}/inbox/stream"
        first = await tenant.session.get(url, headers=headers)
        second = await tenant.session.get(url, headers=headers)
        answers = [(each.status, each.headers["Access-Control-Allow-Origin"])
                   for each in (first, second)]  # fmt: skip
        for each in (first, second):
            each.close()

    assert answers == [(200, origin), (429, origin)]


async def test_o3_all_streams_end_in_peace_and_no_other_begins(tenant: Tenant, api: Api):
    async with streaming(api, tenant) as streams, following(tenant) as page:
        await page.event()

        await streams.close()

        # Long before its time; and a body that is cut off would be an error of the reader's.
        assert await page.event(within_s=5) == ("end", None)
        async with following(tenant, status=503):
            pass
        assert [t.get_name() for t in asyncio.all_tasks() if t.get_name() == "inbox-streams"] == []


class ChangeStreams(CommandListener):
    """How often a change stream was begun, and which cursors were given up."""

    def __init__(self) -> None:
        self.begun = 0
        self.given_up = 0

    def started(self, event: Any) -> None:
        if event.command_name == "aggregate":
            self.begun += "$changeStream" in event.command["pipeline"][0]
        self.given_up += event.command_name == "killCursors"

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


async def test_one_change_stream_feeds_all_listeners_and_ends_with_the_last(
    tenant: Tenant, other: Tenant, migrated: Embedded, entries
):
    seen = ChangeStreams()
    api = build_api(migrated.mongo_uri("platform"), listeners=[seen])
    async with served(api) as tenant.base, contextlib.AsyncExitStack() as stack:
        other.base = tenant.base
        pages = [
            await stack.enter_async_context(following(who, user=user))
            for who in (tenant, other)
            for user in ("ada", "bob", "cy")
        ]
        for client_id in (tenant.client.id, other.client.id):
            await entries.put([entry(client_id, user) for user in ("ada", "bob", "cy")])
        assert [await page.titles(1) for page in pages] == [["Hi"]] * 6
        assert (seen.begun, seen.given_up) == (1, 0)
        for page in pages:
            page.answer.close()

        await eventually(lambda: seen.given_up, within_s=10)

        assert seen.begun == 1
    await api.close()
