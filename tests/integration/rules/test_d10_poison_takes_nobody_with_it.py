"""A message that ends its worker is tried alone, and given up in the end (D10)."""

import asyncio
import contextlib
import pickle
import struct
import sys
from datetime import timedelta

from cdp.domain.event import WORKER_LOST, EventName, Status
from cdp.domain.retry import LOST_MAX
from cdp.ports.handoff import Verdict, WorkerLost
from cdp.services.communication_service import Move
from cdp.testing.smtp_server import Phase, reply
from tests.house.repository import ROOT
from tests.integration.rules.doomed_worker import KILLED
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import (
    Watched,
    accept_many,
    as_stored,
    events_of,
    names_of,
    smtp_provider,
    statuses,
    taken,
)
from tests.waiting import eventually

E = EventName


class Vanishes:
    """`Handoff` to a worker that claims, and is never heard of again."""

    def __init__(self, wiring):
        self._wiring = wiring

    async def deliver(self, lane, items):
        lapsed = self._wiring.clock.now() - timedelta(milliseconds=1)
        moves = [
            Move(
                item=item,
                name=E.DELIVERY_ATTEMPTED,
                metadata={"attempt": item.attempt + 1, "due_at": lapsed, "worker": "gone"},
            )
            for item in items
        ]
        await self._wiring.communications.advance(moves)
        raise WorkerLost


async def test_d10_after_five_lost_workers_it_is_given_up(rig):
    wiring = rig.process("shard")
    client = await rig.client(wiring, attempts_max=12)
    items = await accept_many(wiring, client.id, 3)
    shard = LittleShard(wiring, handoff=Vanishes(wiring))
    await shard.own_all()

    await shard.settle(items)

    for item in items:
        stored = await as_stored(wiring, item)
        assert (stored.status, stored.reason) == (Status.UNDELIVERABLE, "poison")
        assert stored.attempt == stored.lost == LOST_MAX
        events = await events_of(wiring, item)
        codes = [e.metadata["code"] for e in events if e.name is E.DELIVERY_FAILED]
        assert codes == [WORKER_LOST] * LOST_MAX
    assert (await rig.verify(settled=True)).violations == ()


async def suspect_among(rig, wiring, shard, count):
    """A queued item that was lost once, and its queued neighbours."""
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, count)
    epochs = await shard.own_all()
    [first], _ = await shard.queueing.prepare(items[:1], epochs=epochs)
    with contextlib.suppress(WorkerLost):
        await Vanishes(wiring).deliver("email.default", [first])

    async def retried():
        stored = [await as_stored(wiring, items[0])]
        queued, decided = await shard.queueing.prepare(stored, epochs=epochs)
        while decided.again:
            queued, decided = await shard.queueing.prepare(decided.again, epochs=epochs)
        return queued

    [suspect] = await eventually(retried, within_s=5)
    neighbours, _ = await shard.queueing.prepare(items[1:], epochs=epochs)
    return suspect, neighbours


async def test_d10_a_suspect_is_sent_alone_and_its_neighbours_before_it(rig, smtp):
    wiring = rig.process("shard")
    provider = Watched(smtp_provider(smtp))
    worker = rig.worker(rig.process("worker"), provider)
    shard = LittleShard(wiring, worker)
    suspect, neighbours = await suspect_among(rig, wiring, shard, 21)

    reports = await worker.deliver([suspect, *neighbours])

    assert {report.verdict for report in reports} == {Verdict.DELIVERED}
    assert len(reports) == 21
    assert provider.together[suspect.result_id] == set()
    assert (await rig.verify(settled=True)).violations == ()


async def test_d10_while_others_are_under_way_a_suspect_waits(rig, smtp):
    wiring = rig.process("shard")
    provider = Watched(smtp_provider(smtp, connections_max=10))
    worker = rig.worker(rig.process("worker"), provider, answer_s=0.2)
    shard = LittleShard(wiring, worker)
    suspect, neighbours = await suspect_among(rig, wiring, shard, 11)
    smtp.on(Phase.DOT, reply("250 2.0.0 Slow", delay_s=0.8))
    others = asyncio.create_task(worker.deliver(neighbours))
    await eventually(lambda: provider.together, within_s=5)

    [report] = await worker.deliver([suspect])
    await others
    await worker.drain()

    assert report.verdict in {Verdict.UNDER_WAY, Verdict.DELIVERED}
    assert provider.together[suspect.result_id] == set()
    assert (await rig.verify(settled=True)).violations == ()


async def test_d10_a_suspect_waits_for_those_that_are_just_being_claimed(rig, smtp):
    wiring = rig.process("shard")
    provider = Watched(smtp_provider(smtp))
    worker = rig.worker(rig.process("worker"), provider, answer_s=3.0)
    shard = LittleShard(wiring, worker)
    suspect, neighbours = await suspect_among(rig, wiring, shard, 11)
    smtp.on(Phase.DOT, reply("250 2.0.0 Slow", delay_s=1.0))
    before = await rig.times_entered()

    fault = {"blockConnection": True, "blockTimeMS": 600}
    async with rig.failing(["insert"], app="worker", mode={"times": 1}, **fault):
        others = asyncio.create_task(worker.deliver(neighbours))

        async def in_its_claim():
            return await rig.times_entered() > before

        await eventually(in_its_claim, within_s=5)
        await worker.deliver([suspect])
        await others
    await worker.drain()

    assert provider.together[suspect.result_id] == set()


class OtherProcess:
    """`Handoff` to a worker in a process of its own, which is started anew when it dies."""

    def __init__(self, settings):
        self._settings = settings
        self._process = None
        self._one_at_a_time = asyncio.Lock()
        self.codes = []

    async def deliver(self, lane, items):
        async with self._one_at_a_time:
            if self._process is None:
                self._process = await self._start()
            try:
                self._send(items)
                [size] = struct.unpack(">I", await self._process.stdout.readexactly(4))
                return pickle.loads(await self._process.stdout.readexactly(size))
            except asyncio.IncompleteReadError as error:
                self.codes.append(await self._process.wait())
                self._process = None
                raise WorkerLost from error

    async def _start(self):
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.integration.rules.doomed_worker"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._send(self._settings)
        return self._process

    def _send(self, what):
        body = pickle.dumps(what)
        assert self._process is not None
        self._process.stdin.write(struct.pack(">I", len(body)) + body)

    async def close(self):
        if self._process is not None:
            self._process.stdin.close()
            await self._process.wait()


async def test_d10_one_message_that_kills_its_worker_costs_no_neighbour(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring, attempts_max=12)
    items = await accept_many(wiring, client.id, 100)
    poison = items[50]
    address = f"u{poison.result_id.hex()[-8:]}@example.org"
    other = OtherProcess(
        {"settings": rig.settings(), "port": smtp.port, "poison": address, "lease_s": 1.0}
    )
    shard = LittleShard(wiring, handoff=other)
    await shard.own_all()

    await shard.settle(items, within_s=60)
    await other.close()

    assert other.codes == [KILLED] * LOST_MAX
    assert await statuses(wiring, items) == {Status.DELIVERED: 99, Status.UNDELIVERABLE: 1}
    stored = await as_stored(wiring, poison)
    assert (stored.status, stored.reason) == (Status.UNDELIVERABLE, "poison")
    assert taken(smtp, poison) == 0
    assert (await names_of(wiring, poison)).count(E.DELIVERY_ATTEMPTED) == LOST_MAX
    assert all(taken(smtp, item) >= 1 for item in items if item is not poison)
    verification = await rig.verify(settled=True)
    assert verification.violations == ()
