"""Which of a worker's messages may go now, by every limit that is set for them.

A message may be limited by its delivery configuration, by its campaign, by its provider and by the
domain that it goes to; it goes when all of these budgets have room for it.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from cdp.domain.campaign import CampaignRoster
from cdp.domain.delivery_config import ConfigLimits, is_of_a_domain
from cdp.domain.delivery_result import WorkItem
from cdp.domain.lane import Priority
from cdp.domain.rate_budget import RateLimit, Turn, Want
from cdp.errors import OutcomeUnknown
from cdp.ports.budgets import Budgets
from cdp.ports.handoff import Report, Verdict, WorkerLost
from cdp.services.client_config_service import ClientConfigService
from cdp.services.delivery_batch import Assigned, Chosen
from cdp.services.rate_rules import RATE

log = logging.getLogger(__name__)

Group = tuple[tuple[RateLimit, ...], Turn]


class RateLimiter:
    """Asks the channel's budgets, if there are any limits."""

    def __init__(
        self, *, config: ClientConfigService, campaigns: CampaignRoster, budgets: Budgets
    ) -> None:
        self._config = config
        self._campaigns = campaigns
        self._budgets = budgets

    async def held_back(self, items: Sequence[WorkItem], chosen: Chosen) -> list[Report]:
        """Reports on those that may not go now. What the others may spend is spent."""
        groups = await self._groups(items, chosen)
        if not groups:
            return []
        wants = [
            Want(limits=limits, count=len(group), turn=turn)
            for (limits, turn), group in groups.items()
        ]
        try:
            grants = await self._budgets.spend(wants)
        except (OutcomeUnknown, WorkerLost) as error:
            log.warning("budgets could not be asked", extra={"error": type(error).__name__})
            every = (item for group in groups.values() for item in group)
            return [Report(item=item, verdict=Verdict.DECLINED) for item in every]
        return [
            Report(
                item=item,
                verdict=Verdict.LIMITED,
                retry_after_s=grant.wait_of(index),
                step_s=None if any(map(is_of_a_domain, grant.short)) else grant.step_s,
            )
            for group, grant in zip(groups.values(), grants, strict=True)
            for index, item in enumerate(group[grant.count :])
        ]

    async def _groups(
        self, items: Sequence[WorkItem], chosen: Chosen
    ) -> Mapping[Group, list[WorkItem]]:
        """The limited ones, together with those that go by the same limits in the same turn."""
        configured = await self._config.rate_limits(items)
        groups: dict[Group, list[WorkItem]] = defaultdict(list)
        for item in items:
            assigned = chosen[item.result_id]
            limits = tuple(self._limits(item, assigned, configured[item.result_id]))
            if limits and assigned.withheld.by is None:
                groups[limits, _turn(item)].append(item)
        return groups

    def _limits(
        self, item: WorkItem, assigned: Assigned, configured: ConfigLimits
    ) -> Iterator[RateLimit]:
        if configured.all is not None:
            yield configured.all
        campaign = self._campaigns.of(item)
        if campaign is not None and campaign.settings.rate_per_s is not None:
            key = f"campaign/{item.client_id.hex()}/{campaign.name}"
            yield RateLimit(key, campaign.settings.rate_per_s)
        if assigned.provider.limit is not None:
            yield assigned.provider.limit
        if configured.domain is not None and item.channel == "email" and assigned.content:
            domain = assigned.content.to[0].rpartition("@")[2].lower()
            yield RateLimit(f"{configured.domain.key}/{domain}", configured.domain.per_s)


def _turn(item: WorkItem) -> Turn:
    if item.priority is Priority.HIGH:
        return Turn.URGENT
    return Turn.RETURNING if item.reason == RATE else Turn.NEW
