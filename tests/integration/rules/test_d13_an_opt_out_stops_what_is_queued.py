"""D13: to whoever has opted out nothing more is sent, whichever of the two was first."""

import asyncio
from email import message_from_bytes
from random import Random

import httpx
import pytest

from cdp.domain.event import EventName, Status
from cdp.domain.suppression import Suppression, SuppressionReason
from cdp.http.tracking import build_app
from cdp.testing.smtp_session import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, accept_many, events_of, names_of, smtp_provider
from tests.integration.verification_world import request_of

E = EventName
ROUNDS = 12
EACH = 12


def entry(wiring, client_id, recipient, *, topic=None):
    return Suppression(
        client_id=client_id, channel="email", recipient=recipient, topic=topic,
        reason=SuppressionReason.MANUAL, created_at=wiring.clock.now(),
    )  # fmt: skip


def address_of(request):
    return request.recipients[0].identifier


async def test_d13_racing_opt_outs_leave_no_gap(rig, smtp):
    wiring = rig.process("shard")
    suppressions = rig.process("api").suppression_service()
    client = await rig.client(wiring)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)), batch=5)
    await shard.own_all()
    random = Random(20)
    items = []
    for number in range(ROUNDS):
        requests = [request_of(client.id) for _ in range(EACH)]

        async def opt_out(request, pause):
            await asyncio.sleep(pause)
            await suppressions.suppress([entry(wiring, client.id, address_of(request))])

        outs = [asyncio.create_task(opt_out(r, random.random() * 0.06 * number)) for r in requests]
        accepted = await accept(wiring, requests)
        items += accepted
        await shard.settle(accepted)
        await asyncio.gather(*outs)

    for item in items:
        names = await names_of(wiring, item)
        assert names[-1] in (E.SUPPRESSED, E.DELIVERY_SUCCEEDED)
        assert (E.SUPPRESSED in names) != (E.DELIVERY_ATTEMPTED in names)
    ends = {(await names_of(wiring, item))[-1] for item in items}
    assert ends == {E.SUPPRESSED, E.DELIVERY_SUCCEEDED}, "the race was never won by one of them"
    assert (await rig.verify(settled=True)).violations == ()


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
    second = type(second)(**{
        **{name: getattr(second, name) for name in second.__dataclass_fields__},
        "recipients": tuple(
            type(r)(result_id=r.result_id, identifier=address_of(first).upper().replace(
                "EXAMPLE.ORG", "example.org"))
            for r in second.recipients
        ),
    })  # fmt: skip
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


async def test_e6_one_click_opts_out_and_looking_does_not(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    requests = [request_of(client.id, topic="news"), request_of(client.id)]
    items = await accept(wiring, requests)
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    await shard.settle(items)
    mails = {m.recipients[0]: message_from_bytes(m.content) for m in smtp.messages}
    mail, other = (mails[address_of(request)] for request in requests)
    url = mail["List-Unsubscribe"].strip("<>")
    path = "/u/" + url.rpartition("/u/")[2]
    tracking = rig.process("delivery-tracking").delivery_tracking_service()
    transport = httpx.ASGITransport(build_app(tracking, count=lambda *_, **__: None))
    suppressions = wiring.suppression_service()

    async def listed():
        return await suppressions.page(client.id, named={}, after=None, limit=9)

    async with httpx.AsyncClient(transport=transport, base_url="http://track.example") as browser:
        looks = [await browser.get(path), await browser.head(path), await browser.get(path)]
        before = await listed()
        # As a mail program does it: without a cookie, and whatever its form says.
        clicks = [
            await browser.post(path, data={"List-Unsubscribe": "One-Click"}) for _ in range(2)
        ]
        forged = await browser.post(path[:-4] + "AAAA")

    assert other["List-Unsubscribe"] is None
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [answer.status_code for answer in looks] == [200, 200, 200]
    assert 'method="post"' in looks[0].text
    assert before == []
    assert [answer.status_code for answer in clicks] == [200, 200]
    assert forged.status_code == 404
    [kept] = await listed()
    assert (kept.recipient, kept.topic, kept.reason) == (
        address_of(requests[0]), "news", SuppressionReason.UNSUBSCRIBE,
    )  # fmt: skip
    log = await wiring.communications.events(client.id, items[0].result_id)
    assert [event.name for event in log].count(E.UNSUBSCRIBED) == 1
    assert (await rig.verify(settled=True)).violations == ()
    assert (
        Status.DELIVERED
        is (await wiring.results.items_across_clients([items[0].result_id]))[
            items[0].result_id
        ].status
    )
