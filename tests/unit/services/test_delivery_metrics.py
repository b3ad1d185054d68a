"""What is counted of attempts: queue and delivery times, schedule lag, failures by reason."""

from datetime import UTC, datetime, timedelta

import pytest

from cdp.domain.event import EventName
from cdp.domain.ids import uuid7
from cdp.services.delivery_metrics import count_events, observe_delivery
from cdp.telemetry import Telemetry
from tests.unit.domain.items import item

E = EventName
ACCEPTED = datetime(2026, 1, 1, tzinfo=UTC)
ID = uuid7(unix_ms=int(ACCEPTED.timestamp() * 1000), random_bytes=bytes(10))


def after(name, *, send_at=None, at=ACCEPTED, **metadata):
    before = item(1, result_id=ID, send_at=send_at)
    return before.after(name, at, metadata)


def values(telemetry):
    return {
        (name, *(v for _, v in labels)): value
        for name, labels, value in telemetry.snapshot()
        if value and not name.endswith("_bucket")
    }


@pytest.mark.parametrize(
    ("name", "send_at", "metadata", "expected"),
    [
        (E.DELIVERY_ATTEMPTED, None, {}, {("cdp_queue_seconds_sum", "email.default"): 3.0}),
        (E.DELIVERY_SUCCEEDED, None, {}, {("cdp_delivery_seconds_sum", "email.default"): 3.0}),
        (E.DELIVERY_ATTEMPTED, 2, {}, {("cdp_schedule_lag_seconds_sum",): 1.0}),
        (E.DELIVERY_SUCCEEDED, 2, {}, {}),
        (E.DELIVERY_FAILED, None, {"reason": "address"}, {("cdp_failures_total", "address"): 1}),
    ],
)
def test_each_attempt_is_measured_by_what_it_was(name, send_at, metadata, expected):
    telemetry = Telemetry()
    at = ACCEPTED + timedelta(seconds=3)
    due = None if send_at is None else ACCEPTED + timedelta(seconds=send_at)
    moved = after(name, send_at=due, at=at, **metadata)

    observe_delivery(telemetry, [name], [moved], at)

    found = values(telemetry)
    assert {key: found[key] for key in found if not key[0].endswith("_count")} == expected


def test_what_was_lost_counts_as_overtaken_and_is_not_measured():
    telemetry = Telemetry()
    names = [E.QUEUED, E.DELIVERY_ATTEMPTED, E.DELIVERY_ATTEMPTED]
    moved = [after(E.QUEUED), None, None]

    count_events(telemetry, names, moved)
    observe_delivery(telemetry, names, moved, ACCEPTED)

    assert values(telemetry) == {
        ("cdp_events_total", "QUEUED"): 1,
        ("cdp_overtaken_total", "DELIVERY_ATTEMPTED"): 2,
    }
