"""Whether a campaign takes a request that comes in for it."""

from collections.abc import Mapping, Sequence

from cdp.domain.campaign import Campaign, CampaignKey
from cdp.domain.communication_request import CommunicationRequest
from cdp.errors import CampaignClosed
from cdp.http.intake_services import IntakeServices

Campaigns = Mapping[CampaignKey, Campaign]
"""Those that there are; other names are mere names."""


async def campaigns_of(
    services: IntakeServices, requests: Sequence[CommunicationRequest]
) -> Campaigns:
    """The campaigns that these requests are for."""
    return await services.config.campaigns(
        (request.client_id, request.campaign)
        for request in requests
        if request.campaign is not None
    )


def closed_to(request: CommunicationRequest, campaigns: Campaigns) -> CampaignClosed | None:
    """The refusal of a request whose campaign takes no more."""
    campaign = campaigns.get((request.client_id, request.campaign or ""))
    if campaign is None or campaign.takes_requests:
        return None
    return CampaignClosed(f"The campaign {campaign.name} is {campaign.closing_word}.")
