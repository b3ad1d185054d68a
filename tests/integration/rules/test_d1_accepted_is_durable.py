"""What was answered "accepted" is there, and what was not may be repeated (D1)."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pymongo.monitoring import CommandListener

from cdp.domain.event import EventName, Status
from cdp.domain.ids import unnumbered_event_id
from cdp.errors import OutcomeUnknown
from cdp.services.communication_intake import Accepted, GroupCommit
from cdp.services.engagement_queue import Engagement
from cdp.storage.database import Database
from cdp.testing.smtp_server import DROP, Phase
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept_many, names_of, smtp_provider, statuses
from tests.integration.verification_world import request_of

E = EventName
POSTS = 50
CHECKED = ("communication_requests", "recipients", "communication_logs", "delivery_results")
RETRYABLE = {"errorCode": 189, "errorLabels": ["RetryableWriteError"]}
WTIMEOUT = {"writeConcernError": {"code": 64, "errmsg": "timed out", "errInfo": {"wtimeout": True}}}


class Concerns(CommandListener):
    """Refuses to see a write with less than the platform's concern."""

    WRITES = frozenset({"insert", "update", "delete", "findAndModify", "bulkWrite"})
    WANTED = ("majority", True, 5_000)

    def __init__(self):
        self.seen: Counter[str] = Counter()
        self.weaker = []

    def started(self, event):
        if event.command_name not in self.WRITES:
            return
        concern = event.command.get("writeConcern", {})
        collection = event.command[event.command_name]
        self.seen[collection] += 1
        if (concern.get("w"), concern.get("j"), concern.get("wtimeout")) != self.WANTED:
            self.weaker.append((collection, event.command_name, concern))

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def watched(rig, component, concerns):
    """A process whose every command is seen."""
    wiring = rig.process(component)
    user = "tracking" if component == "delivery-tracking" else "platform"
    uri = rig.embedded.mongo_uri(user)
    wiring.database = Database(uri, component=component, listeners=[concerns])
    return wiring


async def test_d1_every_write_of_the_whole_way_waits_for_a_majority_and_its_journal(rig, smtp):
    concerns = Concerns()
    wiring = watched(rig, "shard", concerns)
    worker = rig.worker(watched(rig, "worker", concerns), smtp_provider(smtp))
    tracking = watched(rig, "delivery-tracking", concerns).delivery_tracking_service()
    client = await rig.client(wiring)
    soon = wiring.clock.now() + timedelta(seconds=0.5)
    items = await accept_many(wiring, client.id, 5)
    items += await accept_many(wiring, client.id, 2, send_at=soon)
    items += await accept_many(wiring, client.id, 1, idempotency_key="k", body_hash=b"h")
    [cancelled, changed] = await accept_many(wiring, client.id, 2)
    service = wiring.communications
    await service.cancel(client.id, [cancelled.result_id], metadata={"reason": "api"})
    await service.reschedule(client.id, [changed.result_id], change={"expires_at": None})
    shard = LittleShard(wiring, worker)
    await shard.own_all()
    smtp.on(Phase.DOT, DROP, times=2)

    await shard.settle([*items, changed, cancelled])
    opened = Engagement(result_id=items[0].result_id, name=E.OPENED, at=wiring.clock.now())
    await tracking.record([opened])
    await wiring.communications.show_sending(items, until=soon)

    assert concerns.weaker == []
    assert {*CHECKED, "communications", "partition_leases", "clients"} <= set(concerns.seen)
    found = await wiring.logs.of_result(client.id, items[0].result_id)
    assert found[-1].id == unnumbered_event_id(items[0].result_id, E.OPENED, "")
    assert (await rig.verify(settled=True)).violations == ()


FAULTS: dict[str, Any] = {
    "wtimeout": ({"activationProbability": 0.3}, WTIMEOUT),
    "cut-once": ({"times": 1}, {"closeConnection": True}),
    "cut-twice": ({"times": 2}, {"closeConnection": True}),
    "cut-often": ({"activationProbability": 0.3}, {"closeConnection": True}),
    "stepped-down": ({"activationProbability": 0.3}, RETRYABLE),
    "slow": ({"activationProbability": 0.5}, {"blockConnection": True, "blockTimeMS": 100}),
}


async def repeated_until_known(commit, request, *, tries=40):
    """A caller who repeats what is unknown with the same ids; the first answer and the last."""
    first = None
    for _ in range(tries):
        outcome = await commit.submit(request)
        first = first or outcome
        if isinstance(outcome, Accepted):
            return first, outcome
        assert isinstance(outcome, OutcomeUnknown), outcome
    raise AssertionError(f"unknown after {tries} tries")


@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_d1_what_is_accepted_is_stored_and_what_is_unknown_may_be_repeated(rig, fault, keyed):
    api = rig.process("api")
    client = await rig.client(api)
    commit = GroupCommit(api.intake.accept)
    keys = [{"idempotency_key": f"k{n}", "body_hash": b"h"} if keyed else {} for n in range(POSTS)]
    requests = [request_of(client.id, recipients=1 + n % 2, **k) for n, k in enumerate(keys)]
    mode, data = FAULTS[fault]
    stored_at_once = []

    async def post(request):
        first, last = await repeated_until_known(commit, request)
        ids = [item.result_id for item in last.items]
        stored_at_once.append(len(await api.results.items_across_clients(ids)) == len(ids))
        return first, last

    async with rig.failing(["insert"], app="api", mode=mode, **data):
        answers = await asyncio.gather(*(post(request) for request in requests))

    assert stored_at_once == [True] * POSTS
    assert [last.request.id for _, last in answers] == [r.id for r in requests]
    recipients = sum(len(r.recipients) for r in requests)
    counts = {name: await api.database[name].count_documents({}) for name in CHECKED}
    assert counts == {
        "communication_requests": POSTS,
        "recipients": recipients,
        "communication_logs": recipients,
        "delivery_results": recipients,
    }
    verification = await rig.verify()
    assert verification.violations == ()
    assert verification.never_accepted == 0


async def test_d1_applied_and_never_answered_is_found_again(rig):
    api = rig.process("api")
    client = await rig.client(api)
    requests = [request_of(client.id, recipients=2) for _ in range(10)]

    async with rig.failing(["insert"], app="api", mode={"skip": 3}, closeConnection=True):
        await rig.failpoint("onPrimaryTransactionalWrite", {"times": 3}, {"closeConnection": True})
        with pytest.raises(OutcomeUnknown):
            await api.intake.accept(requests)
    await rig.failpoint("onPrimaryTransactionalWrite", "off")
    outcomes = await api.intake.accept(requests)
    again = await api.intake.accept([replace(r, data={"another": "try"}) for r in requests])

    items = [item for outcome in outcomes for item in outcome.items]
    assert [o.items for o in again] == [o.items for o in outcomes]
    assert await statuses(api, items) == {Status.ACCEPTED: 20}
    assert [await names_of(api, item) for item in items] == [[E.CREATED]] * 20
    assert (await rig.verify()).violations == ()
