"""Of all who want the next word on a message one wins, and the log says who (D4)."""

import asyncio
import contextlib
from typing import Any

import pytest

from cdp.domain.event import EventName, Status
from cdp.services.communication_service import PASSING, CommunicationService, Move
from cdp.storage.communications import Communications
from cdp.storage.delivery_results import DeliveryResults
from cdp.testing.smtp_server import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    accept_many,
    as_stored,
    events_of,
    names_of,
    smtp_provider,
    statuses,
    taken,
)
from tests.integration.verification_world import LIVES
from tests.waiting import eventually

E = EventName


async def test_d4_the_word_of_a_worker_that_was_given_up_changes_nothing(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring, attempts_max=1)
    items = await accept_many(wiring, client.id, 3)
    stale = rig.worker(rig.process("stale"), smtp_provider(smtp), lease_s=0.5, answer_s=0.05)
    shard = LittleShard(wiring, stale)
    await shard.own_all()
    smtp.on(Phase.DOT, reply("250 2.0.0 Late", delay_s=2.5))

    # Its leases lapse: after the claim's own update, none to renew them comes through.
    mode = {"skip": 1}
    async with rig.failing(["update"], app="stale", mode=mode, closeConnection=True):
        await shard.settle(items)
        before = [await events_of(wiring, item) for item in items]
        assert {log[-1].name for log in before} == {E.UNDELIVERABLE}
        assert stale.in_flight == 3
        await eventually(lambda: not stale.in_flight, within_s=10)

    assert [await events_of(wiring, item) for item in items] == before
    assert await statuses(wiring, items) == {Status.UNDELIVERABLE: 3}
    assert [taken(smtp, item) for item in items] == [1, 1, 1]
    verification = await rig.verify(settled=True)
    assert verification.violations == ()
    assert verification.unknown_outcomes == 3


class Died(Exception):
    """The process is gone."""


class DiesBeforeItProjects(DeliveryResults):
    """The process ends after its event is in the log, and before the result says so."""

    async def project(self, projections, *, again=False):
        raise Died


def dying(wiring):
    return CommunicationService(
        logs=wiring.logs,
        results=DiesBeforeItProjects(wiring.database),
        communications=Communications(wiring.database),
        clock=wiring.clock,
        writer="dying:1:1",
        telemetry=wiring.telemetry,
    )


LAST_WORDS: dict[str, Any] = {
    "scheduled": ((), E.SCHEDULED, {"reason": "send_at"}),
    "queued": (LIVES["rendered"], E.QUEUED, {"queue": "email.default", "epoch": 1}),
    "attempted": (LIVES["queued"], E.DELIVERY_ATTEMPTED, {"attempt": 1, "worker": "dying"}),
    "succeeded": (LIVES["sending"], E.DELIVERY_SUCCEEDED, {"attempt": 1}),
    "failed": (LIVES["sending"], E.DELIVERY_FAILED, {"attempt": 1, "reason": "transient"}),
    "cancelled": (LIVES["queued"], E.CANCELLED, {"reason": "api"}),
    "expired": (LIVES["queued"], E.EXPIRED, {"reason": "expires_at"}),
}


@pytest.mark.parametrize("word", LAST_WORDS)
async def test_d4_a_result_that_fell_behind_is_repaired_by_the_next_who_meets_it(rig, smtp, word):
    before, name, metadata = LAST_WORDS[word]
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    [item] = await accept_many(wiring, client.id, 1)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    item = await lived(rig, wiring, item, before)
    now = wiring.clock.now()
    move = Move(item=item, name=name, metadata={**metadata, "due_at": now})
    # After an event that soon passes nothing would have been projected anyway.
    with contextlib.nullcontext() if name in PASSING else pytest.raises(Died):
        await dying(wiring).advance([move])
    last = (await names_of(wiring, item))[-1]
    assert last is name
    assert (await as_stored(wiring, item)).seq < len(await names_of(wiring, item))

    await shard.own_all()
    await shard.settle([item])

    stored = await as_stored(wiring, item)
    assert stored.seq == len(await names_of(wiring, item))
    assert stored.status in {Status.DELIVERED, Status.CANCELLED, Status.EXPIRED}
    verification = await rig.verify(settled=True)
    assert verification.violations == ()
    assert verification.late == 0


async def lived(rig, wiring, item, names):
    """The item after these events, due now."""
    for name in names:
        if name is E.CONTENT_RESOLVED:
            [resolution] = await wiring.message_service().resolve([item])
            item = resolution.item
            continue
        metadata = {"due_at": wiring.clock.now(), "epoch": 1, "attempt": 1}
        move = Move(item=item, name=name, metadata=metadata)
        [after] = await wiring.communications.advance([move])
        item = after
    return item


async def test_d4_of_two_calls_of_one_process_one_wins(rig):
    wiring = rig.process("api")
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 40)
    later = wiring.clock.now()

    def moves():
        metadata = {"reason": "changed", "due_at": later}
        return [Move(item=item, name=E.SCHEDULED, metadata=metadata) for item in items]

    # The driver repeats a cut insert by itself, and both calls find events of their process.
    async with rig.failing(["insert"], app="api", mode={"times": 3}, closeConnection=True):
        tries = await asyncio.gather(
            *(wiring.communications.advance(moves()) for _ in range(4)), return_exceptions=True
        )

    answered = [t for t in tries if not isinstance(t, BaseException)]
    assert len(answered) >= 2
    for place in zip(*answered, strict=True):
        assert sum(item is not None for item in place) <= 1
    if len(answered) == 4:
        assert all(
            sum(item is not None for item in place) == 1 for place in zip(*answered, strict=True)
        )
    assert [await names_of(wiring, item) for item in items] == [[E.CREATED, E.SCHEDULED]] * 40
    assert (await rig.verify()).violations == ()
