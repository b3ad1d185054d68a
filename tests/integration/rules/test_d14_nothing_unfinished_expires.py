"""MongoDB removes nothing by itself but what is for a while anyway (D14).

That a partition is the same in every process is in `tests/unit/domain/test_ids.py`.
"""

from datetime import timedelta

from cdp.domain.ids import ResultId
from cdp.ports.inbox import InboxEntry
from cdp.storage.inbox import InboxEntries
from tests.integration.rules.rig import accept_many
from tests.integration.verification_world import new_id

FOR_A_WHILE = {"mailbox", "inbox", "budgets", "file_digests", "row_references"}


async def test_d14_only_what_is_for_a_while_has_an_index_that_removes(rig):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await accept_many(wiring, client.id, 1)

    collections = [c async for c in await rig.admin.raw.list_collections()]
    names = [c["name"] for c in collections if not c["name"].startswith("system.")]
    removing = {
        name
        for name in names
        async for index in await rig.admin[name].list_indexes()
        if "expireAfterSeconds" in index
    }
    options = [set(c.get("options", {})) for c in collections]

    assert {"communication_logs", "delivery_results", "communication_requests"} <= set(names)
    assert removing == FOR_A_WHILE
    assert not any(o & {"expireAfterSeconds", "capped"} for o in options)


async def test_d14_an_entry_of_an_inbox_goes_a_week_after_its_expiry_and_never_without_one(rig):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    now = wiring.clock.now()
    lasting, expiring = (
        InboxEntry(
            result_id=ResultId(new_id()), client_id=client.id, user="ada", title="t", body="b",
            created_at=now, expires_at=expires_at,
        )
        for expires_at in (None, now + timedelta(hours=1))
    )  # fmt: skip
    await InboxEntries(wiring.database).put([lasting, expiring])

    [index] = [
        index
        async for index in await rig.admin["inbox"].list_indexes()
        if "expireAfterSeconds" in index
    ]
    stored = {d["_id"]: d async for d in rig.admin["inbox"].find({"client_id": client.id})}

    assert (dict(index["key"]), index["expireAfterSeconds"]) == ({"expires_at": 1}, 7 * 86_400)
    # What has no such field never goes, whatever else it has.
    assert "expires_at" not in stored[lasting.result_id]
    assert stored[expiring.result_id]["expires_at"] == now + timedelta(hours=1)
