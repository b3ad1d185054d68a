"""Brings back what a campaign held when it goes on, and takes back what is left of a cancelled one.

Each shard does so for its own partitions, in batches, each of them by events. Nothing of it is
kept: whoever dies at any line leaves a shorter list to the next, which an index tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cdp.domain.campaign import CANCELLED, Campaign, CampaignKey, CampaignRoster, Standing, released
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import Partition
from cdp.ports.clock import Clock
from cdp.services.communication_service import CommunicationService, Move
from cdp.storage.campaign_results import CampaignResults

BATCH: Final = 500
AGAIN_S: Final = 30.0
"""A campaign of which nothing was left is looked at again after so long: for what somebody held who
did not know yet, and died before he could say so."""


@dataclass(slots=True, kw_only=True)
class Swept:
    """What one round came to."""

    due: list[WorkItem] = field(default_factory=list)
    """Brought back, and due now."""
    later: list[WorkItem] = field(default_factory=list)
    """Brought back, and due later."""
    cancelled: list[WorkItem] = field(default_factory=list)
    is_more: bool = False
    """There was a full batch: look again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    epoch: int
    until: float


class CampaignSweep:
    """The loop's step. What it remembers only spares it queries."""

    def __init__(
        self,
        *,
        roster: CampaignRoster,
        results: CampaignResults,
        communications: CommunicationService,
        clock: Clock,
        batch: int = BATCH,
    ) -> None:
        self._roster = roster
        self._results = results
        self._communications = communications
        self._clock = clock
        self._batch = batch
        self._done: dict[CampaignKey, _Done] = {}
        self._partitions: frozenset[Partition] = frozenset()

    async def step(self, partitions: frozenset[Partition]) -> Swept:
        """A batch of every campaign that has something to bring or take back in these partitions.

        Raises:
            OutcomeUnknown: MongoDB could not be asked; the next step finds what is left.
        """
        if partitions - self._partitions:
            self._done.clear()
        self._partitions = partitions
        for key in self._roster.take_missed():
            self._done.pop(key, None)
        swept = Swept()
        for campaign in self._roster.all() if partitions else ():
            if campaign.standing is not Standing.HELD and not self._is_done(campaign):
                await self._sweep(campaign, sorted(partitions), swept)
        return swept

    def _is_done(self, campaign: Campaign) -> bool:
        done = self._done.get(campaign.key)
        return (
            done is not None
            and done.epoch == campaign.epoch
            and done.until > self._clock.monotonic()
        )

    async def _sweep(
        self, campaign: Campaign, partitions: Sequence[Partition], swept: Swept
    ) -> None:
        begun = self._clock.monotonic()
        if campaign.standing is Standing.CANCELLED:
            items = await self._results.cancellable_across_clients(
                campaign.key, partitions, limit=self._batch
            )
            moved = await self._moved([_cancelling(item) for item in items])
            swept.cancelled += moved
        else:
            items = await self._results.held_across_clients(
                campaign.key, partitions, limit=self._batch
            )
            moved = await self._moved([self._release(campaign, item) for item in items])
            self._note(moved, swept)
        if len(items) == self._batch:
            swept.is_more = True
        elif len(moved) == len(items):
            self._done[campaign.key] = _Done(epoch=campaign.epoch, until=begun + AGAIN_S)

    def _release(self, campaign: Campaign, item: WorkItem) -> Move:
        reason, due_at = released(campaign, item, self._clock.now())
        return Move(
            item=item, name=EventName.SCHEDULED, metadata={"reason": reason, "due_at": due_at}
        )

    async def _moved(self, moves: Sequence[Move]) -> list[WorkItem]:
        if not moves:
            return []
        after = await self._communications.advance(moves)
        lost = [move.item for move, item in zip(moves, after, strict=True) if item is None]
        if lost:
            # Their results are behind their logs, or the next look would find them again.
            await self._communications.repair(lost)
        return [item for item in after if item is not None]

    def _note(self, items: Sequence[WorkItem], swept: Swept) -> None:
        """Tell apart who is due."""
        now = self._clock.now()
        for item in items:
            (swept.due if item.due_at <= now else swept.later).append(item)


def _cancelling(item: WorkItem) -> Move:
    return Move(item=item, name=EventName.CANCELLED, metadata={"reason": CANCELLED})
