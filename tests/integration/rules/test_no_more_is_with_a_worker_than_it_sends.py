"""What has to wait in its worker is said so, and the shard hands it less (`cdp.domain.pace`)."""

from cdp.ports.handoff import Verdict
from cdp.testing.smtp_server import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept_many, smtp_provider


async def reports_of(rig, smtp, *, connections_max):
    """Of four messages to a server that takes 1.3 s for each."""
    wiring = rig.process("shard")
    provider = smtp_provider(smtp, connections_max=connections_max)
    worker = rig.worker(rig.process("worker"), provider, answer_s=4.0, lease_s=10.0)
    shard = LittleShard(wiring, worker)
    client = await rig.client(wiring)
    items = await accept_many(wiring, client.id, 4)
    queued, _ = await shard.queueing.prepare(items, epochs=await shard.own_all())
    smtp.on(Phase.DOT, reply("250 2.0.0 Slow", delay_s=1.3))
    reports = await worker.deliver(queued)
    await worker.drain()
    return reports


async def test_those_that_waited_for_others_are_behind(rig, smtp):
    reports = await reports_of(rig, smtp, connections_max=1)

    assert sum(report.is_behind for report in reports) >= 2


async def test_a_slow_recipient_is_nobodys_wait(rig, smtp):
    reports = await reports_of(rig, smtp, connections_max=4)

    assert {report.verdict for report in reports} == {Verdict.DELIVERED}
    assert not any(report.is_behind for report in reports)
