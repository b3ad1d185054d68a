"""What send windows and quiet hours say when the Queueing Service decides."""

from collections.abc import Sequence
from datetime import UTC, datetime

from cdp.domain.delivery_config import DeliveryConfig, send_hours
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.lane import Priority
from cdp.domain.local_hours import zone_of
from cdp.services.client_config_service import ClientConfigService
from cdp.services.communication_service import Move


class SendHoursRules:
    """The next event of an item that comes at a wrong hour. What is urgent never does."""

    def __init__(self, config: ClientConfigService) -> None:
        self._config = config

    async def closed(self, items: Sequence[WorkItem], now: datetime) -> list[Move]:
        """The waiting of those to whose recipients nothing may be sent now."""
        bound = [item for item in items if item.priority is not Priority.HIGH]
        configs = await self._config.delivery_configs(bound) if bound else {}
        moves = (_move(item, configs[item.result_id], now) for item in bound)
        return [move for move in moves if move is not None]


def _move(item: WorkItem, config: DeliveryConfig, now: datetime) -> Move | None:
    if config.send_window is None and config.quiet_hours is None:
        return None
    try:
        zone = zone_of(item.timezone or config.timezone or "UTC")
    except ValueError:
        # Known when it was accepted, and gone since.
        zone = UTC
    try:
        wait = send_hours(config).opens(now, zone)
    except ValueError:
        return Move(item=item, name=EventName.UNDELIVERABLE, metadata={"reason": "no_send_hours"})
    if wait is None:
        return None
    reason, due_at = wait
    if item.expires_at is not None:
        due_at = min(due_at, item.expires_at)
    return Move(item=item, name=EventName.SCHEDULED, metadata={"reason": reason, "due_at": due_at})
