"""MongoDB removes nothing by itself but what is for a while anyway (D14).

That a partition is the same in every process is in `tests/unit/domain/test_ids.py`.
"""

from tests.integration.rules.rig import accept_many

FOR_A_WHILE = {"mailbox"}


async def test_d14_only_the_mailbox_has_an_index_that_removes(rig):
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
