"""All of a process that has to do with campaigns, made of its database and its clock."""

from functools import cached_property

from cdp.ports.clock import Clock
from cdp.services.campaign_books import CampaignAccounts
from cdp.services.campaign_keeper import CampaignKeeper
from cdp.services.campaign_rules import CampaignRules
from cdp.services.campaign_service import CampaignService
from cdp.services.campaign_sweep import BATCH, CampaignSweep
from cdp.services.campaign_watch import CampaignWatch
from cdp.services.communication_service import CommunicationService
from cdp.storage.campaign_results import CampaignResults
from cdp.storage.campaigns import Campaigns
from cdp.storage.database import Database
from cdp.storage.recent_messages import RecentMessages
from cdp.storage.segments import SegmentAssignments


class CampaignParts:
    """Each part is made when it is first asked for; all share one watch."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @cached_property
    def campaigns(self) -> Campaigns:
        """`campaigns`."""
        return Campaigns(self._database)

    @cached_property
    def results(self) -> CampaignResults:
        """`delivery_results`, campaign by campaign."""
        return CampaignResults(self._database)

    @cached_property
    def watch(self) -> CampaignWatch:
        """What this process knows."""
        return CampaignWatch(campaigns=self.campaigns)

    @cached_property
    def accounts(self) -> CampaignAccounts:
        """The books."""
        return CampaignAccounts(results=self.results, clock=self._clock)

    @cached_property
    def service(self) -> CampaignService:
        """Campaigns, made and changed."""
        return CampaignService(
            campaigns=self.campaigns,
            results=self.results,
            accounts=self.accounts,
            assignments=SegmentAssignments(self._database),
            clock=self._clock,
        )

    @cached_property
    def rules(self) -> CampaignRules:
        """What they say to the Queueing Service."""
        return CampaignRules(roster=self.watch.roster, recent=RecentMessages(self._database))

    @cached_property
    def keeper(self) -> CampaignKeeper:
        """What happens to them by itself."""
        return CampaignKeeper(
            watch=self.watch,
            service=self.service,
            campaigns=self.campaigns,
            results=self.results,
            accounts=self.accounts,
            clock=self._clock,
        )

    def sweep(self, communications: CommunicationService, *, batch: int = BATCH) -> CampaignSweep:
        """A shard's bringing and taking back."""
        return CampaignSweep(
            roster=self.watch.roster,
            results=self.results,
            communications=communications,
            clock=self._clock,
            batch=batch,
        )
