"""What the log's newest events add to the metrics: how often, how late, how long."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import unix_ms_of
from cdp.telemetry import Telemetry

E = EventName


def count_events(
    telemetry: Telemetry, names: Sequence[EventName], after: Sequence[WorkItem | None]
) -> None:
    """Count what was recorded, and what another writer had recorded first."""
    counts = Counter((name, item is not None) for name, item in zip(names, after, strict=True))
    for (name, ours), count in counts.items():
        telemetry.count("cdp_events" if ours else "cdp_overtaken", count, event=name.value)


def observe_delivery(
    telemetry: Telemetry,
    names: Sequence[EventName],
    after: Sequence[WorkItem | None],
    at: datetime,
) -> None:
    """Note how long first attempts and deliveries took, and why attempts failed."""
    now_ms = int(at.timestamp() * 1000)
    for name, item in zip(names, after, strict=True):
        if item is None:
            continue
        if name is E.DELIVERY_FAILED:
            telemetry.count("cdp_failures", reason=item.reason or "transient")
        elif item.send_at is not None:
            if name is E.DELIVERY_ATTEMPTED and item.attempt == 1:
                lag_s = max(0.0, (at - item.send_at).total_seconds())
                telemetry.observe("cdp_schedule_lag_seconds", lag_s)
        else:
            since_accepted_s = max(0, now_ms - unix_ms_of(item.result_id)) / 1000
            if name is E.DELIVERY_SUCCEEDED:
                telemetry.observe("cdp_delivery_seconds", since_accepted_s, lane=item.lane)
            elif name is E.DELIVERY_ATTEMPTED and item.attempt == 1:
                telemetry.observe("cdp_queue_seconds", since_accepted_s, lane=item.lane)
