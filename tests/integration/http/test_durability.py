"""What is answered 202 is there, whatever MongoDB does (D1)."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandSucceededEvent

from cdp.domain.ids import id_from_text
from cdp.storage.database import Database
from tests.integration.conftest import Embedded
from tests.integration.http.conftest import email, make_tenant, served
from tests.integration.http.services import build_api

WRITING = ("insert", "update", "findAndModify")
CHECKED = ("communication_requests", "recipients", "communication_logs", "delivery_results")


class Concerns(CommandListener):
    """Notes the write concern of every write."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()

    def started(self, event: Any) -> None:
        if event.command_name in WRITING:
            concern = event.command.get("writeConcern", {})
            kept = (concern.get("w"), concern.get("j"), concern.get("wtimeout"))
            self.seen[event.command[event.command_name], str(kept)] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


FAULTS = [
    {"closeConnection": True},
    {"errorCode": 11_602, "errorLabels": ["RetryableWriteError"]},
    {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    {"blockConnection": True, "blockTimeMS": 300},
]


async def post(tenant: Any, name: str) -> Any:
    return await tenant.post("/communications", email(f"{name}@x.example"), Idempotency_Key=name)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: next(iter(fault)))
async def test_d1_what_is_answered_202_is_stored_whatever_mongodb_does(
    migrated: Embedded, session: Any, fault: dict[str, Any]
):
    api = build_api(migrated.mongo_uri("platform"))
    admin = Database(migrated.mongo_uri("admin"), component="chaos")
    switch = admin.raw.client.admin
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        data = {"failCommands": ["insert"], "appName": "cdp-api-test", **fault}
        mode = {"activationProbability": 0.3}
        await switch.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        answers, accepted = [], []
        try:
            # In waves, for all that come at once share a group, and a fault of its writes. A group
            # meets none with a chance of 0.7 ** 4.
            for wave in range(100):
                answers += await asyncio.gather(*(post(tenant, f"{wave}-{n}") for n in range(15)))
                accepted = [id_from_text(a.json["id"]) for a in answers if a.status == 202]
                if wave >= 12 and accepted:
                    break
        finally:
            await switch.command({"configureFailPoint": "failCommand", "mode": "off"})
        stored = {
            name: await api.database[name].count_documents({"client_id": tenant.client.id})
            for name in CHECKED
        }
        found = await api.database["delivery_results"].count_documents({"_id": {"$in": accepted}})
    await admin.close()
    await api.close()

    assert {answer.status for answer in answers} <= {202, 409, 503}
    assert accepted
    assert found == len(accepted)
    assert all(count >= len(accepted) for count in stored.values())


async def test_d1_every_write_waits_for_a_majority_and_its_journal(
    migrated: Embedded, session: Any
):
    concerns = Concerns()
    api = build_api(migrated.mongo_uri("platform"), listeners=(concerns,))
    async with served(api) as base:
        tenant = await make_tenant(api, base, session)
        accepted = (await tenant.post("/communications", email(), Idempotency_Key="k")).json
        await tenant.post("/communications/batch", [email()], Idempotency_Key="b")
        await tenant.call("PUT", "/templates/a", {"email": {"subject": "s", "text": "t"}})
        await tenant.post(f"/communications/{accepted['id']}/cancel")
    await api.close()

    assert {concern for _, concern in concerns.seen} == {"('majority', True, 5000)"}
    assert {name for name, _ in concerns.seen} >= {*CHECKED, "batches", "templates"}
