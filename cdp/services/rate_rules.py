"""What limited rates say when the Queueing Service decides; what is spent only workers know.

Who has waited is marked by the reason of its last event, and is served before who comes new.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.delivery_config import ConfigScope
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName, Status
from cdp.domain.ids import ClientId
from cdp.domain.lane import Priority
from cdp.domain.rate_line import RateLines
from cdp.ports.handoff import Report
from cdp.services.client_config_service import scope_of
from cdp.services.communication_service import Move

RATE: Final = "rate"


class RateRules:
    """The waiting of items whose rate is spent."""

    def __init__(self) -> None:
        self._lines = RateLines()

    def waits(self, item: WorkItem, now: datetime) -> Move | None:
        """The waiting of an item behind many of its kind that wait already."""
        if item.reason == RATE or item.priority is Priority.HIGH:
            return None
        turn_at = self._lines.turn_of(_kind(item), now)
        return None if turn_at is None else _scheduled(item, turn_at)

    def told_to_wait(
        self, reports: Sequence[Report], now: datetime
    ) -> tuple[list[tuple[WorkItem, datetime]], list[Move]]:
        """Those that wait in memory, each with its time, and the events of the others.

        What may go while it counts as handed off needs no event.
        """
        in_memory: list[tuple[WorkItem, datetime]] = []
        moves: list[Move] = []
        for report in reports:
            item, turn_at = report.item, now + timedelta(seconds=report.retry_after_s or 0.0)
            if report.step_s is not None:
                self._lines.hear(_kind(item), turn_at=turn_at, step_s=report.step_s, now=now)
            if item.status is Status.QUEUED and turn_at < item.due_at:
                in_memory.append((item.because(RATE), turn_at))
            else:
                moves.append(_scheduled(item, turn_at))
        return in_memory, moves


def _kind(item: WorkItem) -> tuple[ClientId, ConfigScope]:
    return item.client_id, scope_of(item)


def _scheduled(item: WorkItem, turn_at: datetime) -> Move:
    if item.expires_at is not None:
        turn_at = min(turn_at, item.expires_at)
    # As MongoDB keeps it.
    turn_at = turn_at.replace(microsecond=turn_at.microsecond // 1000 * 1000)
    return Move(item=item, name=EventName.SCHEDULED, metadata={"reason": RATE, "due_at": turn_at})
