"""D13: to whoever has opted out nothing more is sent, whichever of the two was first."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from email import message_from_bytes
from random import Random

import pytest
from pymongo.monitoring import CommandListener

from cdp.domain.communication_request import Envelope
from cdp.domain.event import EventName
from cdp.domain.suppression import Suppression, SuppressionReason
from cdp.storage.database import Database
from cdp.testing.smtp_session import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, accept_many, events_of, names_of, smtp_provider
from tests.integration.verification_world import request_of
from tests.waiting import eventually

E = EventName
ROUNDS = 12
EACH = 12


def entry(wiring, client_id, recipient, *, topic=None):
    return Suppression(
        client_id=client_id, channel="email", recipient=recipient, topic=topic,
        reason=SuppressionReason.MANUAL, created_at=wiring.clock.now(),
    )  # fmt: skip


class Calls(CommandListener):
    """Counts the commands that go to MongoDB."""

    def __init__(self):
        self.counts: Counter[str] = Counter()

    def started(self, event):
        if event.command_name not in ("hello", "saslStart", "saslContinue", "endSessions"):
            self.counts[event.command_name] += 1

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def address_of(request):
    return request.recipients[0].identifier


async def attempts_of(wiring, request):
    log = await wiring.logs.numbered_across_clients([request.recipients[0].result_id])
    return sum(event.name is E.DELIVERY_ATTEMPTED for events in log.values() for event in events)


async def test_d13_racing_opt_outs_leave_no_gap(rig, smtp):
    wiring = rig.process("shard")
    suppressions = rig.process("api").suppression_service()
    client = await rig.client(wiring)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)), batch=5)
    await shard.own_all()
    random = Random(20)
    items, at_answer = [], {}
    span_s = 0.0
    for number in range(ROUNDS):
        begun = time.monotonic()
        requests = [request_of(client.id) for _ in range(EACH)]
        if number % 2:
            # Some come back, to be tried again.
            smtp.on(Phase.RCPT, reply("451 4.3.0 Later"), times=EACH // 2)

        async def opt_out(request, pause):
            await asyncio.sleep(pause)
            await suppressions.suppress([entry(wiring, client.id, address_of(request))])
            # By then whoever may send has said so in the log.
            at_answer[address_of(request)] = (request, await attempts_of(wiring, request))

        # As long as a round lasts on this machine now: some come before the message, some after.
        outs = [asyncio.create_task(opt_out(r, random.random() * 1.5 * span_s)) for r in requests]
        accepted = await accept(wiring, requests)
        items += accepted
        await shard.settle(accepted)
        span_s = time.monotonic() - begun
        await asyncio.gather(*outs)

    ends = {(await names_of(wiring, item))[-1] for item in items}
    assert ends == {E.SUPPRESSED, E.DELIVERY_SUCCEEDED}, "the race was never won by one of them"
    assert len(at_answer) == len(items)
    for request, attempts in at_answer.values():
        assert await attempts_of(wiring, request) == attempts, "an attempt after the answer"
    sent = Counter(m.recipients[0] for m in smtp.messages)
    delivered = {address for address, (_, attempts) in at_answer.items() if attempts}
    assert set(sent) <= delivered
    assert set(sent.values()) == {1}
    assert (await rig.verify(settled=True)).violations == ()


async def test_d13_a_claim_that_stalls_behind_its_look_at_the_list_loses(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    request = request_of(client.id)
    [item] = await accept(wiring, [request])
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    entered = await rig.times_entered()

    async def has_looked():
        return await rig.times_entered() > entered

    # The worker found nobody on the list, and its claim is under way for a while.
    stall = {"blockConnection": True, "blockTimeMS": 1_500}
    async with rig.failing(["insert"], app="worker", mode={"times": 1}, **stall):
        await shard.step()
        await eventually(has_looked, within_s=5)
        stopped = await wiring.suppression_service().suppress(
            [entry(wiring, client.id, address_of(request))]
        )
        at_answer = await names_of(wiring, item)
        await shard.settle([item])

    assert stopped == 1
    assert at_answer[-1] is E.SUPPRESSED
    assert await names_of(wiring, item) == at_answer
    assert smtp.messages == []


async def test_d13_what_was_tried_before_the_opt_out_may_end_suppressed(rig, smtp):
    """The race above has rounds of this kind, too; here it is made."""
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    requests = [request_of(client.id) for _ in range(40)]
    smtp.on(Phase.RCPT, reply("451 4.3.0 Later"))
    items = await accept(wiring, requests)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    while E.DELIVERY_FAILED not in await names_of(wiring, items[-1]):
        await shard.step()

    await wiring.suppression_service().suppress(
        [entry(wiring, client.id, address_of(request)) for request in requests]
    )
    smtp.forget_rules()
    await shard.settle(items)

    assert {(await names_of(wiring, item))[-1] for item in items} == {E.SUPPRESSED}
    assert smtp.messages == []


async def test_d13_a_suppressed_copy_is_left_out_and_the_event_says_which(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    service = wiring.suppression_service()
    await service.suppress([
        entry(wiring, client.id, "eve@example.org"),
        entry(wiring, client.id, "bob@example.org"),
        entry(wiring, client.id, "cy@example.org", topic="news"),
    ])  # fmt: skip
    envelope = Envelope(
        cc=(("ann@example.org", ""), ("Bob@example.org", "Bob")),
        bcc=(("eve@example.org", ""), ("cy@example.org", "")),
    )
    requests = [
        replace(request_of(client.id), envelope=envelope),
        replace(request_of(client.id, topic="news"), envelope=envelope),
    ]
    items = await accept(wiring, requests)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()

    await shard.settle(items)

    got = {m.recipients[0]: m for m in smtp.messages}
    plain, news = (got[address_of(request)] for request in requests)
    assert plain.recipients[1:] == ("ann@example.org", "cy@example.org")
    assert news.recipients[1:] == ("ann@example.org",)
    # Who has opted out since the first attempt changes no byte of the second.
    assert "Bob@example.org" in message_from_bytes(plain.content)["Cc"]
    said = [
        next(e for e in await events_of(wiring, item) if e.name is E.DELIVERY_ATTEMPTED).metadata
        for item in items
    ]
    assert said[0]["copies_suppressed"] == ["/bcc/0", "/cc/1"]
    assert said[1]["copies_suppressed"] == ["/bcc/0", "/bcc/1", "/cc/1"]


async def test_d13_many_entries_with_much_under_way_cost_few_round_trips(rig):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    requests = [request_of(client.id) for _ in range(300)]
    await accept(wiring, requests)
    calls = Calls()
    api = rig.process("api")
    api.database = Database(rig.embedded.mongo_uri("platform"), component="api", listeners=[calls])

    stopped = await api.suppression_service().suppress(
        [entry(wiring, client.id, address_of(request)) for request in requests]
    )

    assert stopped == 300
    assert sum(calls.counts.values()) <= 12, calls.counts


async def test_d13_an_entry_that_was_there_before_stops_what_comes_after(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    requests = [request_of(client.id), request_of(client.id, topic="news"), request_of(client.id)]
    service = wiring.suppression_service()
    await service.suppress([entry(wiring, client.id, address_of(requests[0]))])
    await service.suppress([entry(wiring, client.id, address_of(requests[1]), topic="news")])
    await service.suppress([entry(wiring, client.id, address_of(requests[2]), topic="news")])
    items = await accept(wiring, requests)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()

    await shard.settle(items)

    ends = [(await names_of(wiring, item))[-1] for item in items]
    assert ends == [E.SUPPRESSED, E.SUPPRESSED, E.DELIVERY_SUCCEEDED]


async def test_d13_what_comes_back_failed_is_not_tried_again(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    request = request_of(client.id)
    smtp.on(Phase.RCPT, reply("451 4.3.0 Later"))
    [item] = await accept(wiring, [request])
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    while E.DELIVERY_FAILED not in await names_of(wiring, item):
        await shard.step()

    await wiring.suppression_service().suppress([entry(wiring, client.id, address_of(request))])
    await shard.settle([item])

    assert (await names_of(wiring, item))[-1] is E.SUPPRESSED
    assert smtp.messages == []


async def test_an_address_that_does_not_exist_is_suppressed_from_then_on(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    first, second = request_of(client.id), request_of(client.id)
    shouted = address_of(first).partition("@")[0].upper() + "@example.org"
    second = replace(second, recipients=(replace(second.recipients[0], identifier=shouted),))
    smtp.on(Phase.RCPT, reply("550 5.1.1 Unknown"), times=1)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()

    [bounced] = await accept(wiring, [first])
    await shard.settle([bounced])
    [later] = await accept(wiring, [second])
    await shard.settle([later])

    assert (await names_of(wiring, bounced))[-1] is E.UNDELIVERABLE
    last = (await events_of(wiring, later))[-1]
    assert (last.name, last.metadata["reason"]) == (E.SUPPRESSED, "hard_bounce")


async def test_d13_a_bounce_is_kept_even_if_its_worker_is_lost_before_it_says_so(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    request = request_of(client.id)
    smtp.on(Phase.RCPT, reply("550 5.1.1 Unknown"), times=1)
    [item] = await accept(wiring, [request])
    doomed = rig.worker(rig.process("doomed"), smtp_provider(smtp), lease_s=1.0, answer_s=0.1)
    heir = rig.worker(rig.process("heir"), smtp_provider(smtp))
    shard = LittleShard(wiring, doomed)
    await shard.own_all()
    suppressions = wiring.suppression_service()

    async def kept():
        return await suppressions.page(client.id, named={}, after=None, limit=9)

    # What it claims and the entry come through; then it is dead to the platform: no outcome is
    # recorded, and no lease renewed.
    mode = {"skip": 2}
    async with rig.failing(["insert", "update"], app="doomed", mode=mode, errorCode=11_601):
        await shard.step()
        [entry] = await eventually(kept, within_s=10)
        logged = await names_of(wiring, item)
        other = LittleShard(wiring, heir)
        await other.own_all()
        await other.settle([item])

    assert logged[-1] is E.DELIVERY_ATTEMPTED
    assert entry.reason is SuppressionReason.HARD_BOUNCE
    after = (await events_of(wiring, item))[len(logged) :]
    assert [(e.name, e.metadata.get("reason")) for e in after] == [
        (E.DELIVERY_FAILED, "unknown"), (E.SCHEDULED, "retry"), (E.QUEUED, None),
        (E.SUPPRESSED, "hard_bounce"),
    ]  # fmt: skip
    assert smtp.messages == []


@pytest.mark.parametrize("answer", ["552 5.2.2 Full", "550 5.7.1 Blocked", "554 5.6.0 Content"])
async def test_any_other_refusal_suppresses_nobody(rig, smtp, answer):
    wiring = rig.process("shard")
    client = await rig.client(wiring, attempts_max=1)
    smtp.on(Phase.RCPT, reply(answer))
    [item] = await accept_many(wiring, client.id, 1)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()

    await shard.settle([item])

    assert await wiring.suppression_service().page(client.id, named={}, after=None, limit=9) == []
