"""What send windows and quiet hours say when the Queueing Service decides."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, partial

from cdp.domain.delivery_config import DeliveryConfig
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.lane import Priority
from cdp.domain.local_hours import SendHours, zone_of
from cdp.services.client_config_service import ClientConfigService
from cdp.services.communication_service import Move

Wait = tuple[str, datetime]
"""The reason and the end."""
Opens = Callable[[str | None, str | None, str], Wait | None]


class SendHoursRules:
    """The next event of an item that comes at a wrong hour. What is urgent never does."""

    def __init__(self, config: ClientConfigService) -> None:
        self._config = config

    async def closed(self, items: Sequence[WorkItem], now: datetime) -> list[Move]:
        """The waiting of those to whose recipients nothing may be sent now."""
        bound = [item for item in items if item.priority is not Priority.HIGH]
        configs = await self._config.delivery_configs(bound) if bound else {}
        # Found once for all of one zone and the same hours.
        opens = cache(partial(_opens, now))
        moves = (_move(item, configs[item.result_id], opens) for item in bound)
        return [move for move in moves if move is not None]


def _opens(now: datetime, window: str | None, quiet: str | None, timezone: str) -> Wait | None:
    """Why and until when those of a time zone wait; None when they need not.

    Raises:
        ValueError: there is no moment at which one may write to them.
    """
    try:
        zone = zone_of(timezone)
    except ValueError:
        # Known when it was accepted, and gone since.
        zone = UTC
    return SendHours.read(window, quiet).opens(now, zone)


def _move(item: WorkItem, config: DeliveryConfig, opens: Opens) -> Move | None:
    if config.send_window is None and config.quiet_hours is None:
        return None
    try:
        timezone = item.timezone or config.timezone or "UTC"
        wait = opens(config.send_window, config.quiet_hours, timezone)
    except ValueError:
        return Move(item=item, name=EventName.UNDELIVERABLE, metadata={"reason": "no_send_hours"})
    if wait is None:
        return None
    reason, due_at = wait
    if item.expires_at is not None:
        due_at = min(due_at, item.expires_at)
    return Move(item=item, name=EventName.SCHEDULED, metadata={"reason": reason, "due_at": due_at})
