"""Whatever says that MongoDB is away for a while is `OutcomeUnknown`, not the driver's error (D1).

Else a shard takes a lost connection for its own bug, and the API answers 500.
"""

import asyncio

import pytest

from cdp.domain.event import EventName
from cdp.domain.ids import BatchId
from cdp.errors import OutcomeUnknown
from cdp.services.communication_service import Move
from cdp.storage.batches import Batch, Batches
from cdp.storage.partition_leases import PartitionLeases
from tests.integration.rules.rig import accept_many
from tests.integration.verification_world import new_id, request_of

LOST_PRIMARY = {
    "cut": {"closeConnection": True},
    "NotWritablePrimary": {"errorCode": 10_107},
    "InterruptedDueToReplStateChange": {"errorCode": 11_602},
}
PASSING = {
    "HostUnreachable": {"errorCode": 6},
    "ExceededTimeLimit": {"errorCode": 262},
    "ReadConcernMajorityNotAvailableYet": {"errorCode": 134},
}


async def find(api, items):
    await api.results.items_across_clients([item.result_id for item in items])


async def get_more(api, items):
    await api.results.items_across_clients([item.result_id for item in items])


async def aggregate(api, items):
    partitions = [item.partition for item in items]
    await api.results.unfinished_across_clients(partitions, due_by=items[0].due_at)


async def distinct(api, items):
    item = items[0]
    await api.results.active_clients_across_clients(
        [(item.lane, item.priority)], partitions=[item.partition], until=item.due_at
    )


async def insert(api, items):
    move = Move(item=items[0], name=EventName.SCHEDULED, metadata={"due_at": items[0].due_at})
    await api.communications.advance([move])


async def keyed_insert(api, items):
    request = request_of(items[0].client_id, idempotency_key="k", body_hash=b"h")
    await api.intake.accept([request])


async def update_many(api, items):
    ids = [item.result_id for item in items]
    await api.results.mark_engaged([("opened_at", items[0].due_at, each) for each in ids])


async def update_one(api, items):
    await Batches(api.database).finish(BatchId(new_id()), accepted=1, rejected=0, results=1)


async def upsert(api, items):
    batch = Batch(
        id=BatchId(new_id()),
        client_id=items[0].client_id,
        idempotency_key="b",
        created_at=items[0].due_at,
    )
    await Batches(api.database).begin(batch)


async def take_leases(api, items):
    await PartitionLeases(api.database).take("shard-0", api.incarnation, ttl_s=1.0)


READS = {"find": find, "getMore": get_more, "aggregate": aggregate, "distinct": distinct}
WRITES = {
    "insert": insert,
    "keyed-insert": keyed_insert,
    "update-many": update_many,
    "update-one": update_one,
    "upsert": upsert,
    "lease": take_leases,
}
COMMAND_OF = {
    "keyed-insert": "insert",
    "update-many": "update",
    "update-one": "update",
    "upsert": "update",
    "lease": "update",
}


async def not_understood(rig, calls, fault):
    """What comes of these calls while their commands fail in this way, where it is a driver's."""
    api = rig.process("api")
    client = await rig.client(api)
    items = await accept_many(api, client.id, 150)
    found = {}
    for name, call in calls.items():
        async with rig.failing([COMMAND_OF.get(name, name)], app="api", **fault):
            raised: object
            [raised] = await asyncio.gather(call(api, items), return_exceptions=True)
        if not isinstance(raised, OutcomeUnknown):
            found[name] = repr(raised)[:80]
    return found


@pytest.mark.parametrize("fault", LOST_PRIMARY)
async def test_d1_a_lost_primary_is_an_unknown_outcome(rig, fault):
    assert await not_understood(rig, READS | WRITES, LOST_PRIMARY[fault]) == {}


@pytest.mark.parametrize("fault", PASSING)
async def test_d1_what_the_server_calls_passing_is_an_unknown_outcome(rig, fault):
    assert await not_understood(rig, READS | WRITES, PASSING[fault]) == {}


async def test_d1_a_cursor_that_a_restart_has_ended_is_an_unknown_outcome(rig):
    assert await not_understood(rig, {"getMore": get_more}, {"errorCode": 43}) == {}


CONCERNS = {
    "wtimeout": {"code": 64, "errmsg": "timed out", "errInfo": {"wtimeout": True}},
    "stepped-down": {"code": 189, "errmsg": "stepped down"},
    "unsatisfiable": {"code": 100, "errmsg": "not enough data-bearing nodes"},
}


@pytest.mark.parametrize(
    "concern",
    [
        "wtimeout",
        pytest.param("stepped-down"),
        pytest.param("unsatisfiable"),
    ],
)
async def test_d1_a_write_without_its_concern_is_an_unknown_outcome(rig, concern):
    fault = {"writeConcernError": CONCERNS[concern]}

    assert await not_understood(rig, WRITES, fault) == {}
