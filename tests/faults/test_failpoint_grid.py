"""L2: MongoDB fails in each way at each command, while messages go the whole way; nothing is lost.

The services are real and in this process, the provider is a real SMTP server; in place of Ray are
plain calls, which like Ray's are made once. The clock runs ten times as fast.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from cdp.domain.breaker import Breaker
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import text_of
from cdp.errors import OutcomeUnknown
from cdp.services.communication_intake import Accepted, GroupCommit
from cdp.services.engagement_queue import Engagement
from cdp.testing.smtp_server import SmtpServer
from cdp.wiring import Wiring
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    FastClock,
    Rig,
    insisting,
    smtp_provider,
    write_ledger,
)
from tests.integration.verification_world import request_of
from tests.waiting import eventually

MESSAGES = 60
BURSTS = 4
APPLIED = "onPrimaryTransactionalWrite"
"""The failpoint that lets a repeatable write happen, and then cuts the connection."""
SPEED = 10.0
STRIKE_WITHIN_S = 0.05
"""How long after a burst or a step has begun something goes wrong in it."""

WTIMEOUT = {"code": 64, "errmsg": "timed out", "errInfo": {"wtimeout": True}}
COMMANDS = {
    "insert": ["insert"],
    "update": ["update"],
    "find": ["find", "getMore"],
    "aggregate": ["aggregate", "distinct"],
}
WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "retryable": (1, {"errorCode": 189, "errorLabels": ["RetryableWriteError"]}),
    "cut-once": (1, {"closeConnection": True}),
    "cut-twice": (2, {"closeConnection": True}),
    "unsure": (2, {"writeConcernError": WTIMEOUT}),
    "slow": (1, {"blockConnection": True, "blockTimeMS": 500}),
}
WAYS_OF = {"find": set(WAYS) - {"unsure"}, "aggregate": {"retryable", "cut-twice"}}
"""A read waits for no write concern; and an aggregation is only ever a count."""
GRID = [(command, way) for command in COMMANDS for way in WAYS if way in WAYS_OF.get(command, WAYS)]


@dataclass(kw_only=True)
class Flow:
    """Messages on their whole way."""

    rig: Rig
    smtp: SmtpServer
    api: Wiring
    shard: LittleShard
    client_id: Any
    strike: Callable[[], Awaitable[None]] | None = None
    told: list[str] = field(default_factory=list)

    async def post(self, number: int) -> list[WorkItem]:
        """One caller, who repeats what is unknown with the same ids and key."""
        keyed = {"idempotency_key": f"k{number}", "body_hash": b"h"} if number % 2 else {}
        later = {"send_at": self.api.clock.now() + timedelta(seconds=15)} if number % 5 == 0 else {}
        request = request_of(self.client_id, recipients=1 + (number % 10 == 3), **keyed, **later)
        outcome: Any = OutcomeUnknown()
        while not isinstance(outcome, Accepted):
            assert isinstance(outcome, OutcomeUnknown), outcome
            outcome = await self.commit.submit(request)
        self.told.append(text_of(request.id))
        return list(outcome.items)

    async def go(self) -> list[WorkItem]:
        """Post all in bursts, change some, and work all off; each time something goes wrong."""
        self.commit = GroupCommit(self.api.intake.accept)
        items: list[WorkItem] = []
        for start in range(0, MESSAGES, MESSAGES // BURSTS):
            burst = range(start, start + MESSAGES // BURSTS)
            posted = await self._struck(*(self.post(number) for number in burst))
            fresh = [item for items_of_one in posted for item in items_of_one]
            items += fresh
            self.shard.state.hint(fresh)
            await self._struck(self.shard.step(), self._change(fresh), self._count())
        await self._struck(self.shard.settle(items, within_s=30))
        await self._struck(insisting(lambda: self._engage(items)))
        return items

    async def _struck(self, *doings: Coroutine[Any, Any, Any]) -> list[Any]:
        """Do these together, and at a moment of chance let something go wrong."""
        tasks = [asyncio.create_task(doing) for doing in doings]
        # There is no seed for this: what runs at that moment is chance anyhow.
        await asyncio.wait(tasks, timeout=STRIKE_WITHIN_S * random.random())
        if self.strike is not None:
            await self.strike()
        return await asyncio.gather(*tasks)

    async def _change(self, items: list[WorkItem]) -> None:
        service, ids = self.api.communications, [item.result_id for item in items]
        await insisting(lambda: service.cancel(self.client_id, ids[:2], metadata={"by": "api"}))
        change = {"expires_at": None}
        await insisting(lambda: service.reschedule(self.client_id, ids[3:5], change=change))

    async def _count(self) -> None:
        with contextlib.suppress(OutcomeUnknown):
            await self.shard.wiring.results.unfinished_across_clients(
                sorted(self.shard.state.partitions), due_by=self.api.clock.now()
            )

    async def _engage(self, items: list[WorkItem]) -> None:
        tracking = self.api.delivery_tracking_service()
        at = self.api.clock.now()
        await tracking.record(
            [Engagement(result_id=i.result_id, name=EventName.OPENED, at=at) for i in items[:9]]
        )


@pytest.fixture
async def flow(rig: Rig, smtp: SmtpServer) -> Flow:
    clock = FastClock(SPEED)
    api, shard, *workers = (
        rig.process(name, clock=clock) for name in ("api", "shard", "worker-a", "worker-b")
    )
    client = await rig.client(api, attempts_max=20, backoff_initial_s=1.0, backoff_cap_s=4.0)
    services = [
        rig.worker(w, smtp_provider(smtp), breaker=Breaker(open_s=2.0), lease_s=20.0, answer_s=0.5)
        for w in workers
    ]
    little = LittleShard(shard, *services, batch=15, park_s=1.0)
    await little.own_all()
    return Flow(rig=rig, smtp=smtp, api=api, shard=little, client_id=client.id)


async def end_faults(rig: Rig) -> None:
    for name in ("failCommand", APPLIED):
        await rig.failpoint(name, "off")


async def break_once(rig: Rig, command: str, way: str) -> None:
    """Let a command fail in one way."""
    times, fault = WAYS[way]
    data = {"failCommands": COMMANDS[command], **fault}
    await rig.failpoint("failCommand", {"times": times}, data)


async def lose_an_answer(rig: Rig) -> None:
    """Let a write be applied, and its answer and those of its repeats be lost for a while."""
    cut = {"closeConnection": True}
    await rig.failpoint(APPLIED, {"times": 1}, cut)
    before = await rig.times_entered(APPLIED)
    with contextlib.suppress(AssertionError):
        await eventually(lambda: applied(rig, before), within_s=0.2)
    await rig.failpoint("failCommand", {"times": 1}, {"failCommands": ["insert"], **cut})


async def applied(rig: Rig, before: int) -> bool:
    return await rig.times_entered(APPLIED) > before


async def step_down(rig: Rig) -> None:
    """Let there be no primary for a second or two."""
    with contextlib.suppress(PyMongoError):
        await rig.admin.raw.client.admin.command(
            {"replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": True}
        )


async def books_balance(flow: Flow, tmp_path: Path) -> None:
    """Messages go their way in this trouble, and every rule holds afterwards."""
    try:
        items = await flow.go()
    finally:
        await end_faults(flow.rig)
    for service in flow.rig.services:
        await service.drain()
    callers = tmp_path / "callers"
    callers.write_text("".join(json.dumps({"id": text}) + "\n" for text in flow.told))
    verification = await flow.rig.verify(
        settled=True,
        callers_ledger=callers,
        provider_ledger=write_ledger(tmp_path / "taken", flow.smtp),
    )
    assert verification.violations == ()
    assert verification.results == len(items)
    assert verification.callers == MESSAGES
    assert verification.never_accepted == 0
    assert verification.doubles <= verification.unknown_outcomes
    assert verification.total.cancelled > 0
    assert verification.total.delivered + verification.total.cancelled == len(items)


@pytest.mark.parametrize(("command", "way"), GRID, ids=[f"{c}-{w}" for c, w in GRID])
async def test_nothing_is_lost_when_mongodb_fails(flow, tmp_path, command, way):
    before = await flow.rig.times_entered()
    flow.strike = lambda: break_once(flow.rig, command, way)

    await books_balance(flow, tmp_path)

    assert await flow.rig.times_entered() > before + 2


async def test_nothing_is_lost_when_answers_are_lost(flow, tmp_path):
    before = await flow.rig.times_entered(APPLIED)
    flow.strike = lambda: lose_an_answer(flow.rig)

    await books_balance(flow, tmp_path)

    assert await flow.rig.times_entered(APPLIED) > before


async def test_nothing_is_lost_when_the_primary_steps_down(flow, tmp_path):
    strikes = iter(range(100))

    async def now_and_then():
        if next(strikes) % 3 == 1:
            await step_down(flow.rig)

    flow.strike = now_and_then

    await books_balance(flow, tmp_path)
