"""What happens to campaigns by itself: they begin, are paused for a rate, and are finished.

The Supervisor's loop asks every second. All that it decides on is durable, so another that takes
over goes on where this one has stopped.
"""

from collections import deque
from datetime import timedelta
from typing import Final

from cdp.domain.campaign import Campaign, CampaignKey, CampaignState, reason_to_pause
from cdp.ports.clock import Clock
from cdp.services.campaign_books import CampaignAccounts
from cdp.services.campaign_service import CampaignService
from cdp.services.campaign_watch import CampaignWatch
from cdp.storage.campaign_results import CampaignResults
from cdp.storage.campaigns import Campaigns

GRACE: Final = timedelta(seconds=10)
"""So long after it was closed, cancelled or taken away a campaign may still get a request: one that
was let in before, by a cache that is 2 s old, and is being stored."""
LOOKS_MAX: Final = 50
"""Campaigns that one step asks MongoDB about."""
TOMBSTONE_AGE: Final = timedelta(days=1)
"""A process that was held still for longer than this knows nothing else any more either."""
SWEEP_S: Final = 3_600.0


class CampaignKeeper:
    """The loop's step."""

    def __init__(
        self,
        *,
        watch: CampaignWatch,
        service: CampaignService,
        campaigns: Campaigns,
        results: CampaignResults,
        accounts: CampaignAccounts,
        clock: Clock,
        grace: timedelta = GRACE,
    ) -> None:
        self._watch = watch
        self._service = service
        self._campaigns = campaigns
        self._results = results
        self._accounts = accounts
        self._clock = clock
        self._grace = grace
        self._turns: deque[CampaignKey] = deque()
        self._next_sweep = float("-inf")

    async def step(self) -> None:
        """Look at what has to happen, and let it.

        Raises:
            OutcomeUnknown: MongoDB could not be asked; the next step does what is left.
        """
        await self._watch.refresh()
        campaigns = {campaign.key: campaign for campaign in self._watch.roster.all()}
        now = self._clock.now()
        for campaign in campaigns.values():
            start_at = campaign.settings.start_at
            if campaign.state is CampaignState.SCHEDULED and start_at and start_at <= now:
                await self._service.begin(campaign)
        await self._look(campaigns)
        if self._clock.monotonic() >= self._next_sweep:
            self._next_sweep = self._clock.monotonic() + SWEEP_S
            await self._campaigns.sweep(before=now - TOMBSTONE_AGE)

    async def _look(self, campaigns: dict[CampaignKey, Campaign]) -> None:
        """Ask about some of those that may end or be paused, each in its turn."""
        waiting = {key: each for key, each in campaigns.items() if self._may_change(each)}
        self._turns = deque(key for key in self._turns if key in waiting)
        self._turns.extend(waiting.keys() - set(self._turns))
        for _ in range(min(LOOKS_MAX, len(self._turns))):
            key = self._turns.popleft()
            self._turns.append(key)
            await self._end_or_pause(waiting[key])

    def _may_change(self, campaign: Campaign) -> bool:
        return self._may_end(campaign) or (
            campaign.state is CampaignState.RUNNING
            and campaign.settings.automatic_pause is not None
        )

    def _may_end(self, campaign: Campaign) -> bool:
        if campaign.is_deleted:
            since = campaign.updated_at
        elif campaign.state is CampaignState.CANCELLED:
            since = campaign.ended_at or campaign.updated_at
        elif campaign.is_closed and campaign.state is not CampaignState.DRAFT:
            since = campaign.closed_at or campaign.updated_at
        else:
            return False
        return since + self._grace <= self._clock.now()

    async def _end_or_pause(self, campaign: Campaign) -> None:
        if self._may_end(campaign) and not await self._results.has_open(campaign.key):
            if campaign.is_deleted or campaign.state is CampaignState.CANCELLED:
                await self._service.settle(campaign)
            else:
                await self._service.finish(campaign)
            return
        rule = campaign.settings.automatic_pause
        if rule is not None and campaign.state is CampaignState.RUNNING:
            reached = (await self._accounts.books(campaign.key)).reached
            reason = reason_to_pause(rule, reached.since(campaign.judged_from))
            if reason is not None:
                await self._service.pause_for(campaign, reason, reached)
