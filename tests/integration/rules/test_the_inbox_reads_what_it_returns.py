"""Every query of an inbox walks its index and no more, however much there is besides.

A user with a thousand entries that are archived, read or over, beside others of the same client.
"""

from datetime import timedelta

import pytest

from cdp.domain.ids import ResultId
from cdp.domain.inbox import InboxPosition, InboxUser, Mark
from cdp.ports.inbox import InboxEntry
from cdp.storage.inbox import InboxEntries
from tests.integration.rules.test_fairness_queries_read_what_they_return import profiled, walked
from tests.integration.verification_world import new_id

LIVE, MANY = 60, 1_000


@pytest.fixture
async def crowded(rig):
    """Ada's inbox: 60 unread, 60 read, a thousand archived, a thousand that are over."""
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    ada, now = InboxUser(client_id=client.id, user="ada"), wiring.clock.now()
    inbox = InboxEntries(wiring.database)

    async def put(count, user="ada", **fields):
        entries = [
            InboxEntry(
                result_id=ResultId(new_id()), client_id=client.id, user=user, title="t", body="b",
                created_at=now - timedelta(seconds=n), **fields,
            )
            for n in range(count)
        ]  # fmt: skip
        await inbox.put(entries)
        return [entry.result_id for entry in entries]

    await put(LIVE)
    await inbox.mark(ada, await put(LIVE), Mark.READ, now)
    await inbox.mark(ada, await put(MANY), Mark.ARCHIVED, now)
    await put(MANY, expires_at=now - timedelta(seconds=1))
    await put(MANY, user="bob")
    return inbox, ada, now


async def pages(inbox, ada, now, **flags):
    given = {"unread": False, "archived": False} | flags
    first = await inbox.page(ada, **given, before=None, limit=20, now=now)
    last = InboxPosition(at=first[-1].created_at, result_id=first[-1].result_id)
    return first, await inbox.page(ada, **given, before=last, limit=20, now=now)


@pytest.mark.parametrize(
    ("flags", "index"),
    [({}, "archived"), ({"archived": True}, "archived"), ({"unread": True}, "unread")],
)
async def test_a_page_reads_a_page_and_sorts_nothing(rig, crowded, flags, index):
    async with profiled(rig, "inbox") as seen:
        first, second = await pages(*crowded, **flags)

    assert (len(first), len(second)) == (20, 20)
    assert first[-1].created_at >= second[0].created_at
    queries = [e for e in seen if e["op"] == "query"]
    assert len(queries) == 2
    for entry in queries:
        keys, documents, plan = walked(entry)
        assert plan.startswith(f"IXSCAN {{ client_id: 1, user: 1, {index}: 1, created_at: 1")
        # Of the moment at which the page before has ended there may be one more, and itself.
        assert documents <= 20 + 2
        # Those that are over stand between the others, and cost a key each and no document.
        assert keys <= 2 * 20 + 4
        assert not entry.get("hasSortStage")


async def test_the_count_of_unread_ones_reads_no_document(rig, crowded):
    inbox, ada, now = crowded
    async with profiled(rig, "inbox") as seen:
        count = await inbox.unread(ada, now=now)

    [entry] = [e for e in seen if "aggregate" in e["command"]]
    keys, documents, plan = walked(entry)
    assert count == LIVE
    assert documents == 0
    assert "unread: 1" in plan
    # Of the unread ones alone, those that are over among them.
    assert keys <= LIVE + MANY + 1


async def test_what_has_arrived_since_is_found_without_what_was_before(rig, crowded):
    inbox, ada, now = crowded
    async with profiled(rig, "inbox") as seen:
        found = await inbox.arrived_since(ada, now - timedelta(seconds=9), limit=100, now=now)

    [entry] = [e for e in seen if e["op"] == "query"]
    keys, documents, _ = walked(entry)
    assert len(found) == documents == 20
    assert keys <= 3 * 10 + 1
    assert not entry.get("hasSortStage")


async def test_all_up_to_an_entry_are_found_on_the_index(rig, crowded):
    inbox, ada, now = crowded
    last = InboxPosition(at=now - timedelta(seconds=10), result_id=ResultId(b"\xff" * 16))
    async with profiled(rig, "inbox") as seen:
        read = await inbox.ids_up_to(ada, last, Mark.READ, limit=20)
        archived = await inbox.ids_up_to(ada, last, Mark.ARCHIVED, limit=20)

    assert (len(read), len(archived)) == (20, 20)
    for entry in [e for e in seen if e["op"] == "query"]:
        keys, documents, plan = walked(entry)
        assert keys <= 21
        assert documents <= 20
        assert plan.startswith("IXSCAN")
        assert not entry.get("hasSortStage")


async def test_many_are_marked_by_one_update_that_reads_them_alone(rig, crowded):
    inbox, ada, now = crowded
    ids = await inbox.ids_up_to(
        ada, InboxPosition(at=now, result_id=ResultId(b"\xff" * 16)), Mark.SEEN, limit=50
    )
    async with profiled(rig, "inbox") as seen:
        await inbox.mark(ada, ids, Mark.SEEN, now)

    [update] = [e for e in seen if e["op"] == "update"]
    assert (update["nModified"], update["docsExamined"]) == (50, 50)
    assert update["keysExamined"] <= 2 * 50 + 1
