"""Send windows and quiet hours go by the recipient's own clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_config import ALL, ConfigScope, DeliveryConfig
from cdp.domain.event import EventName, Status
from cdp.domain.lane import Priority
from cdp.testing.smtp_session import Phase, reply
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import accept, as_stored, events_of, smtp_provider, statuses
from tests.integration.verification_world import request_of
from tests.waiting import eventually

E = EventName
HERE, THERE = "Asia/Tokyo", "America/New_York"


def hours(begin: datetime, end: datetime) -> str:
    return f"{begin:%H:%M}-{end:%H:%M}"


def to(client_id, zone: str | None, **fields) -> CommunicationRequest:
    request = request_of(client_id, **fields)
    [recipient] = request.recipients
    return replace(request, recipients=(replace(recipient, timezone=zone),))


async def set_up(rig, smtp, **fields):
    wiring = rig.process("shard")
    client = await rig.client(wiring)
    await wiring.delivery_config_service().create(
        client.id, ConfigScope(channel="email"), DeliveryConfig(**fields)
    )
    shard = LittleShard(wiring, rig.worker(rig.process("worker"), smtp_provider(smtp)))
    await shard.own_all()
    return wiring, client, shard


def now_at(zone: str) -> datetime:
    return datetime.now(ZoneInfo(zone))


async def test_who_sleeps_is_let_sleep_and_who_is_awake_is_not_kept_waiting(rig, smtp):
    begin = now_at(HERE) - timedelta(hours=2)
    end = begin + timedelta(hours=5)
    wiring, client, shard = await set_up(rig, smtp, quiet_hours=hours(begin, end))
    [asleep, urgent, awake, nowhere] = await accept(
        wiring,
        [
            to(client.id, HERE),
            to(client.id, HERE, priority=Priority.HIGH),
            to(client.id, THERE),
            to(client.id, None),
        ],
    )

    await shard.settle([urgent, awake, nowhere])

    assert await statuses(wiring, [urgent, awake, nowhere]) == {Status.DELIVERED: 3}
    stored = await as_stored(wiring, asleep)
    assert (stored.status, stored.reason) == (Status.SCHEDULED, "quiet_hours")
    assert stored.due_at == end.replace(second=0, microsecond=0).astimezone(UTC)


async def test_a_window_of_the_recipients_zone_or_of_the_configured_one(rig, smtp):
    begin = now_at(HERE) - timedelta(hours=2)
    end = begin + timedelta(hours=5)
    wiring, client, shard = await set_up(rig, smtp, send_window=hours(begin, end), timezone=HERE)
    [known, unknown, elsewhere] = await accept(
        wiring, [to(client.id, HERE), to(client.id, None), to(client.id, THERE)]
    )

    await shard.settle([known, unknown])

    stored = await as_stored(wiring, elsewhere)
    assert (stored.status, stored.reason) == (Status.SCHEDULED, "send_window")
    assert stored.due_at > datetime.now(UTC)


async def test_a_retry_does_not_wake_anybody_either(rig, smtp):
    wiring, client, shard = await set_up(
        rig, smtp, backoff_initial_s=3.0, backoff_cap_s=3.0, backoff_jitter=0.0
    )
    smtp.on(Phase.RCPT, reply("451 4.3.0 Later"), times=1)
    [item] = await accept(wiring, [to(client.id, HERE)])
    begin = now_at(HERE) - timedelta(hours=2)
    worker = shard.direct
    true_deliver = worker.deliver

    async def deliver(lane, items):
        reports = await true_deliver(lane, items)
        await wiring.delivery_config_service().set(
            client.id, ALL, DeliveryConfig(quiet_hours=hours(begin, begin + timedelta(hours=5)))
        )
        return reports

    worker.deliver = deliver

    async def waits() -> bool:
        await shard.step()
        return (await as_stored(wiring, item)).reason == "quiet_hours"

    await eventually(waits, 15)
    names = [event.name for event in await events_of(wiring, item)]
    assert names.count(E.DELIVERY_ATTEMPTED) == 1


async def test_where_two_levels_leave_no_hour_at_all_it_is_said(rig, smtp):
    wiring, client, shard = await set_up(rig, smtp, send_window="09:00-10:00")
    await wiring.delivery_config_service().set(
        client.id, ALL, DeliveryConfig(quiet_hours="08:00-11:00")
    )
    [item] = await accept(wiring, [to(client.id, HERE)])

    await shard.settle([item])

    stored = await as_stored(wiring, item)
    assert (stored.status, stored.reason) == (Status.UNDELIVERABLE, "no_send_hours")
    assert stored.failure is not None
    assert stored.failure.error_class == "config"
