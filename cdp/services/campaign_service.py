"""Campaigns of a client: made, read, changed, taken away, and brought from state to state.

What is stored here is durable and numbered; shards and workers apply it within half a second. Who
must know that they have asks `cdp.services.campaign_acknowledgement` for the number of the change.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdp.domain.campaign import (
    CAMPAIGNS_MAX,
    ENDED,
    PERMUTATIONS_MAX,
    Campaign,
    CampaignAct,
    CampaignSettings,
    CampaignState,
    Reached,
    after,
)
from cdp.domain.ids import ClientId
from cdp.domain.segment import Assignment
from cdp.errors import Conflict, NotFound, PreconditionFailed
from cdp.ports.clock import Clock
from cdp.services.campaign_books import CampaignAccounts, CampaignBooks
from cdp.storage.campaign_results import CampaignResults
from cdp.storage.campaigns import Campaigns
from cdp.storage.segments import SegmentAssignments


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignView:
    """A campaign with its books and its permutations of segment, channel and template."""

    campaign: Campaign
    books: CampaignBooks
    permutations: Sequence[Assignment]


class CampaignService:
    """The only writer of campaigns."""

    def __init__(
        self,
        *,
        campaigns: Campaigns,
        results: CampaignResults,
        accounts: CampaignAccounts,
        assignments: SegmentAssignments,
        clock: Clock,
    ) -> None:
        self._campaigns = campaigns
        self._results = results
        self._accounts = accounts
        self._assignments = assignments
        self._clock = clock

    async def put(
        self,
        client_id: ClientId,
        name: str,
        settings: CampaignSettings,
        *,
        seen: Container[int] | None,
    ) -> tuple[Campaign, bool]:
        """Make a draft, or let a campaign have these settings; and whether it is new.

        Args:
            client_id: whose.
            name: which.
            settings: all of them.
            seen: versions that the caller knows; None makes or changes any.

        Raises:
            PreconditionFailed: there is none, or its version is another.
            Conflict: its state does not allow this, or there are too many.
        """
        while True:
            stored = await self._campaigns.find(client_id, name)
            known = stored if stored is not None and not stored.is_deleted else None
            if seen is not None and (known is None or known.version not in seen):
                raise PreconditionFailed
            if known is None:
                saved = await self._make(client_id, name, settings, stored)
            elif known.settings == settings:
                saved = known
            else:
                _require_changeable(known, settings)
                changed = self._next(known, settings=settings)
                saved = await self._campaigns.replace(changed, seen=known.version)
            # Else somebody was quicker: look again.
            if saved is not None:
                return saved, known is None

    async def _make(
        self,
        client_id: ClientId,
        name: str,
        settings: CampaignSettings,
        tombstone: Campaign | None,
    ) -> Campaign | None:
        if await self._campaigns.count(client_id) >= CAMPAIGNS_MAX:
            raise Conflict(f"There are at most {CAMPAIGNS_MAX:,} campaigns.")
        now = self._clock.now()
        made = Campaign(
            client_id=client_id, name=name, settings=settings, created_at=now, updated_at=now
        )
        if tombstone is None:
            return await self._campaigns.insert(made)
        # Its versions go on, so that nobody takes it for the one that it was.
        made = replace(made, version=tombstone.version + 1)
        return await self._campaigns.replace(made, seen=tombstone.version)

    async def get(self, client_id: ClientId, name: str) -> Campaign:
        """A campaign.

        Raises:
            NotFound: there is none.
        """
        campaign = await self._campaigns.find(client_id, name)
        if campaign is None or campaign.is_deleted:
            raise NotFound
        return campaign

    async def view(self, campaign: Campaign) -> CampaignView:
        """A campaign with all that is to be said of it."""
        return CampaignView(
            campaign=campaign,
            books=await self._accounts.books(campaign.key),
            permutations=await self._assignments.of_campaign(
                campaign.client_id, campaign.name, limit=PERMUTATIONS_MAX
            ),
        )

    async def page(
        self, client_id: ClientId, *, state: CampaignState | None, after: str | None, limit: int
    ) -> list[Campaign]:
        """Campaigns in the order of their names."""
        filters: Mapping[str, Any] = {} if state is None else {"state": state.value}
        return await self._campaigns.page(client_id, filters=filters, after=after, limit=limit)

    async def act(
        self,
        client_id: ClientId,
        name: str,
        act: CampaignAct,
        *,
        seen: Container[int] | None = None,
    ) -> Campaign:
        """Do something with a campaign. What was done already changes nothing.

        Args:
            client_id: whose.
            name: which.
            act: what.
            seen: versions that the caller knows; None is any.

        Raises:
            NotFound: there is none.
            PreconditionFailed: its version is another.
            Conflict: its state does not allow this.
        """
        while True:
            campaign = await self.get(client_id, name)
            if seen is not None and campaign.version not in seen:
                raise PreconditionFailed
            changed = after(campaign, act, at=self._clock.now())
            if changed is None:
                return campaign
            saved = await self._campaigns.replace(changed, seen=campaign.version)
            if saved is not None:
                return saved

    async def delete(self, client_id: ClientId, name: str, *, seen: Container[int] | None) -> None:
        """Take a campaign away; its name is a mere name from then on.

        Raises:
            NotFound: there is none.
            PreconditionFailed: its version is another.
            Conflict: communications of it are unfinished.
        """
        while True:
            campaign = await self.get(client_id, name)
            if seen is not None and campaign.version not in seen:
                raise PreconditionFailed
            if await self._results.has_open(campaign.key):
                raise Conflict("Communications of it are unfinished: cancel it first.")
            # What comes in meanwhile and is held goes on: that is what the tombstone is for.
            gone = replace(
                self._next(campaign, settings=CampaignSettings()), is_deleted=True, is_settled=False
            )
            if await self._campaigns.replace(gone, seen=campaign.version) is not None:
                return

    async def begin(self, campaign: Campaign) -> None:
        """Let a scheduled campaign run, since its time has come."""
        await self._by_platform(after(campaign, CampaignAct.BEGIN, at=self._clock.now()), campaign)

    async def finish(self, campaign: Campaign) -> None:
        """Say that a closed campaign is done with."""
        await self._by_platform(after(campaign, CampaignAct.FINISH, at=self._clock.now()), campaign)

    async def settle(self, campaign: Campaign) -> None:
        """Note that nothing is left of a campaign that was cancelled or taken away."""
        await self._by_platform(replace(self._next(campaign), is_settled=True), campaign)

    async def pause_for(self, campaign: Campaign, reason: str, reached: Reached) -> None:
        """Pause a running campaign for a rate; after it goes on, what comes back is judged anew."""
        paused = after(campaign, CampaignAct.PAUSE, at=self._clock.now(), reason=reason)
        if paused is not None:
            await self._by_platform(replace(paused, judged_from=reached), campaign)

    async def _by_platform(self, changed: Campaign | None, campaign: Campaign) -> None:
        # If its client was quicker, the next look sees what it is now.
        if changed is not None:
            await self._campaigns.replace(changed, seen=campaign.version)

    def _next(self, campaign: Campaign, **changes: Any) -> Campaign:
        return replace(
            campaign, version=campaign.version + 1, updated_at=self._clock.now(), **changes
        )


def _require_changeable(campaign: Campaign, settings: CampaignSettings) -> None:
    if campaign.state in ENDED:
        raise Conflict(f"The campaign is {campaign.state}.")
    if campaign.started_at is not None and settings.start_at != campaign.settings.start_at:
        raise Conflict("The campaign has started: start_at can't be changed.")
    if campaign.state is CampaignState.SCHEDULED and settings.start_at is None:
        raise Conflict("The campaign is scheduled: it needs start_at.")
