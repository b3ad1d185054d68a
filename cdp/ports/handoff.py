"""How the queue hands messages to delivery workers, and what it hears back."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from cdp.domain.delivery_result import WorkItem
from cdp.domain.record import record


class Verdict(StrEnum):
    """What became of an item that was handed over."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """DELIVERY_FAILED is recorded; the queue decides on a retry."""
    CLOSED = "closed"
    """It reached another final state in the claim, such as EXPIRED."""
    OVERTAKEN = "overtaken"
    """Another writer was first: look at the log."""
    DECLINED = "declined"
    """Nothing was recorded: the worker can't send now. Hand it over again after a while."""
    FULL = "full"
    """Nothing was recorded: the worker has its hands full. Hand it over again in a moment."""
    HELD = "held"
    """Nothing was recorded: its campaign is paused, as the worker knows."""
    LIMITED = "limited"
    """Nothing was recorded: its rate is spent for now. Hand it over again after the time given."""
    UNDER_WAY = "under_way"
    """It is claimed and not answered yet; the log will say."""


@record
class Report:
    """A worker's word on one item."""

    item: WorkItem
    """As it is after what was recorded."""
    verdict: Verdict
    retry_after_s: float | None = None
    """Seconds that the provider, or a limited rate, asks for."""
    is_behind: bool = False
    """Whether it had to wait in the worker, for its turn or for its outcome to be recorded."""
    step_s: float | None = None
    """Where a rate is limited for all of its client, campaign and segment: the seconds that each of
    them takes."""


class Handoff(Protocol):
    """The way from a shard to the workers of a lane."""

    async def deliver(self, lane: str, items: Sequence[WorkItem]) -> list[Report]:
        """Hand the items to one worker and wait for its reports, one for each item.

        Raises:
            WorkerLost: the worker went away; what it had claimed is unknown until its lease ends.
        """


class ContentResolver(Protocol):
    """The way from a shard to the Message Service."""

    async def resolve(self, items: Sequence[WorkItem]) -> list["Resolution"]:
        """Render and store the content of these items.

        Raises:
            WorkerLost: the Message Service went away; nothing is known of the items.
        """


@record
class Resolution:
    """The Message Service's word on one item."""

    item: WorkItem
    refusal: str | None = None
    """Why there can be no content; then nothing was recorded."""
    detail: str = ""
    overtaken: bool = False


class WorkerLost(Exception):
    """The process that was asked is gone; it may or may not have done its work."""
