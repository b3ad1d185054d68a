"""A rate holds over all workers and restarts; what is too much waits, and never fails."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cdp.domain.campaign import CampaignAct
from cdp.domain.delivery_config import ALL, ConfigScope, DeliveryConfig
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName, Status
from cdp.domain.lane import Priority
from cdp.errors import OutcomeUnknown
from cdp.testing.smtp_server import SmtpServer
from cdp.wiring import Wiring
from tests.integration.rules.campaign_rig import act, make_campaign
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import Rig, accept, accept_many, events_of, statuses
from tests.integration.verification_world import request_of
from tests.waiting import eventually

E = EventName
EMAIL = ConfigScope(channel="email")


async def through(wiring: Wiring, client_id, server: SmtpServer, **account) -> None:
    """Let this server take a client's emails."""
    settings = {"host": server.host, "port": server.port, "security": "none"}
    await wiring.provider_service().create(
        client_id, name="mail", kind="email.smtp", settings=settings, **account
    )


async def limit(wiring: Wiring, client_id, scope: ConfigScope = ALL, **fields) -> None:
    await wiring.delivery_config_service().set(client_id, scope, DeliveryConfig(**fields))


async def attempts_of(wiring: Wiring, items: Sequence[WorkItem]) -> list[datetime]:
    """When the items were sent, in the order of time."""
    logs = [await events_of(wiring, item) for item in items]
    return sorted(e.at for log in logs for e in log if e.name is E.DELIVERY_ATTEMPTED)


def most_within(times: Sequence[datetime], span_s: float) -> int:
    """The most that were sent in any span of so many seconds."""
    return max(
        sum(0 <= (other - begin).total_seconds() < span_s for other in times) for begin in times
    )


async def shard_with(rig: Rig, wiring: Wiring, budgets, *, workers: int = 2, batch: int = 25):
    """A shard with workers that share these budgets."""
    processes = [rig.process("worker") for _ in range(workers)]
    for process in processes:
        await process.campaigns.watch.refresh()
    services = [
        process.delivery_service(worker=f"worker-{n}", channel="email", budgets=budgets)
        for n, process in enumerate(processes)
    ]
    rig.services.extend(services)
    shard = LittleShard(wiring, *services, batch=batch)
    await shard.own_all()
    return shard


async def test_two_workers_together_keep_the_rate_and_the_rest_goes_later(rig, smtp):
    wiring = rig.process("shard")
    client, other = await rig.client(wiring), await rig.client(wiring)
    for each in (client, other):
        await through(wiring, each.id, smtp)
    await limit(wiring, client.id, rate_per_s=20.0)
    many = await accept_many(wiring, client.id, 100)
    few = await accept_many(wiring, other.id, 30)
    shard = await shard_with(rig, wiring, rig.process("pool").rate_budgets("email"))

    await shard.settle([*few, *many], within_s=30)

    assert await statuses(wiring, [*few, *many]) == {Status.DELIVERED: 130}
    times = await attempts_of(wiring, many)
    # A second's worth at once, and from then on as many a second.
    assert most_within(times, 1.0) <= 41
    assert 3.5 <= (times[-1] - times[0]).total_seconds() <= 15
    unlimited = await attempts_of(wiring, few)
    assert (unlimited[-1] - times[0]).total_seconds() < 3.5
    longest = max([len(await events_of(wiring, item)) for item in many])
    assert longest <= 9, "who waits does not ask again and again"
    assert (shard.bugs, shard.direct.bugs) == ([], [])
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_pool_that_starts_anew_gives_no_second_burst(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await through(wiring, client.id, smtp)
    await limit(wiring, client.id, rate_per_s=10.0)

    class Restarting:
        """Budgets of a pool that is killed after each answer."""

        async def spend(self, wants):
            return await wiring.rate_budgets("email").spend(wants)

    items = await accept_many(wiring, client.id, 14)
    shard = await shard_with(rig, wiring, Restarting())

    await shard.settle(items, within_s=30)

    times = await attempts_of(wiring, items)
    # Ten at once. Each that came after met a budget of which a slice too much is spent.
    assert most_within(times, 1.0) <= 11
    assert await statuses(wiring, items) == {Status.DELIVERED: 14}


async def test_campaign_provider_and_domain_have_rates_of_their_own(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await through(wiring, client.id, smtp, rate_per_s=40.0)
    await limit(wiring, client.id, domain_rate_per_s=10.0)
    await make_campaign(wiring, client.id, "slow", rate_per_s=5.0)
    await act(wiring, client.id, CampaignAct.START, name="slow")
    slow = await accept_many(wiring, client.id, 15, campaign="slow")
    rest = await accept_many(wiring, client.id, 25)
    shard = await shard_with(rig, wiring, wiring.rate_budgets("email"))

    await shard.settle([*slow, *rest], within_s=40)

    assert most_within(await attempts_of(wiring, slow), 1.0) <= 10
    assert most_within(await attempts_of(wiring, [*slow, *rest]), 1.0) <= 20
    waits = [e for item in slow for e in await events_of(wiring, item) if e.name is E.SCHEDULED]
    assert {event.metadata["reason"] for event in waits} <= {"rate"}


async def test_what_is_urgent_passes_what_waits_for_the_same_budget(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await through(wiring, client.id, smtp)
    await limit(wiring, client.id, rate_per_s=5.0)
    shard = await shard_with(rig, wiring, wiring.rate_budgets("email"))
    bulk = await accept_many(wiring, client.id, 60)
    await eventually_some_wait(shard, wiring, bulk)

    urgent = await accept(wiring, [request_of(client.id, priority=Priority.HIGH) for _ in range(3)])
    await shard.settle(urgent, within_s=8)

    left = await statuses(wiring, bulk)
    assert left[Status.DELIVERED] < 60


async def eventually_some_wait(shard: LittleShard, wiring: Wiring, items) -> None:
    async def waiting() -> bool:
        await shard.step()
        return (await statuses(wiring, items))[Status.DELIVERED] >= 5

    await eventually(waiting, 15)


async def test_a_mass_that_waits_for_its_rate_keeps_nothing_of_the_same_client(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await through(wiring, client.id, smtp)
    await limit(wiring, client.id, ConfigScope(campaign="slow"), rate_per_s=1.0)
    mass = await accept_many(wiring, client.id, 2_000, campaign="slow")
    rest = await accept_many(wiring, client.id, 50)
    shard = await shard_with(rig, wiring, wiring.rate_budgets("email"), batch=100)

    await shard.settle(rest, within_s=20)

    assert await statuses(wiring, rest) == {Status.DELIVERED: 50}
    logs = [[e.name for e in await events_of(wiring, item)] for item in mass]
    # Most have neither been rendered nor seen a worker.
    assert logs.count([E.CREATED, E.SCHEDULED]) > 1_000
    stored = await wiring.results.items_across_clients([item.result_id for item in mass])
    times = sorted(i.due_at for i in stored.values() if i.status is Status.SCHEDULED)
    assert len(set(times)) > 0.9 * len(times), "each has a time of its own"


async def test_while_budgets_cannot_be_asked_nothing_goes_and_nothing_fails(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await through(wiring, client.id, smtp)
    await limit(wiring, client.id, rate_per_s=100.0)
    true = wiring.rate_budgets("email")

    class Away:
        refused = 0

        async def spend(self, wants):
            if self.refused < 3:
                self.refused += 1
                raise OutcomeUnknown
            return await true.spend(wants)

    items = await accept_many(wiring, client.id, 10)
    shard = await shard_with(rig, wiring, Away())

    await shard.settle(items)

    logs = [[e.name for e in await events_of(wiring, item)] for item in items]
    assert all(log.count(E.DELIVERY_ATTEMPTED) == 1 for log in logs)
    assert not any(E.DELIVERY_FAILED in log for log in logs)


async def test_what_expires_before_its_turn_says_so(rig, smtp):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await through(wiring, client.id, smtp)
    await limit(wiring, client.id, rate_per_s=0.01)
    now = wiring.clock.now()
    items = await accept_many(wiring, client.id, 3, expires_at=now.replace(year=now.year + 1))
    [hasty] = await accept_many(wiring, client.id, 1, expires_at=now + timedelta(seconds=3))
    shard = await shard_with(rig, wiring, wiring.rate_budgets("email"))

    await shard.settle([hasty])

    assert (await statuses(wiring, [hasty])).keys() <= {Status.EXPIRED, Status.DELIVERED}
    stored = await wiring.results.items_across_clients([i.result_id for i in items])
    waiting = [item for item in stored.values() if item.status is Status.SCHEDULED]
    assert len(waiting) >= 2
    assert {item.reason for item in waiting} == {"rate"}
