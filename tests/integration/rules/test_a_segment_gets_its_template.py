"""The template is found by client, channel, campaign and segment, when it is rendered."""

from dataclasses import replace

import pytest

from cdp.domain.event import EventName
from cdp.domain.segment import AssignmentKey
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, events_of, smtp_provider
from tests.integration.verification_world import request_of

E = EventName


@pytest.fixture
def shard(rig, smtp):
    wiring = rig.process("shard")
    return LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))


async def test_each_segment_gets_the_template_of_its_campaign(rig, smtp, shard):
    wiring = shard.wiring
    await shard.own_all()
    client = await rig.client(wiring)
    for name in ("all", "spring", "other"):
        await rig.template(wiring, client.id, name, subject=name, text="x")
    segments = wiring.segment_service()
    for segment in ("vip", "new"):
        await segments.put(client.id, segment, description="", seen=None)
    for segment, campaign, template in (
        ("vip", None, "all"), ("vip", "spring", "spring"), ("new", "spring", "other"),
    ):  # fmt: skip
        key = AssignmentKey(
            client_id=client.id, segment=segment, channel="email", campaign=campaign
        )
        await segments.assign(key, template)
    wanted = {
        ("vip", None): "all",
        ("vip", "autumn"): "all",
        ("vip", "spring"): "spring",
        ("new", "spring"): "other",
    }
    requests = [
        replace(request_of(client.id, campaign=campaign, segment=segment), content=None)
        for segment, campaign in wanted
    ]
    items = await accept(wiring, requests)

    await shard.settle(items)

    for item in items:
        [resolved] = [e for e in await events_of(wiring, item) if e.name is E.CONTENT_RESOLVED]
        expected = wanted[item.segment or "", item.campaign]
        assert (resolved.metadata["template"], resolved.metadata["version"]) == (expected, 1)
    assert shard.bugs == []
    assert (await rig.verify(settled=True)).violations == ()


async def test_without_an_assignment_at_that_time_it_is_undeliverable_and_says_why(
    rig, smtp, shard
):
    wiring = shard.wiring
    await shard.own_all()
    client = await rig.client(wiring)
    request = replace(request_of(client.id, segment="gone"), content=None)
    [item] = await accept(wiring, [request])

    await shard.settle([item])

    last = (await events_of(wiring, item))[-1]
    assert last.name is E.UNDELIVERABLE
    assert last.metadata["reason"] == "template_unassigned"
    assert last.metadata["detail"] == "gone"
