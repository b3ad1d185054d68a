"""What a campaign means for a request that comes in for it: whether, and how urgent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cdp.domain.campaign import Campaign, CampaignKey
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.ids import RequestId
from cdp.domain.lane import Priority
from cdp.errors import CampaignClosed
from cdp.http.call import ApiServices

Campaigns = Mapping[CampaignKey, Campaign]
"""Those that there are; other names are mere names."""


async def campaigns_of(
    services: ApiServices, requests: Sequence[CommunicationRequest]
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


async def with_priorities(
    services: ApiServices, requests: Sequence[CommunicationRequest]
) -> list[CommunicationRequest]:
    """The requests, of which those that name no priority have their campaign's."""
    campaigns = await campaigns_of(services, requests)
    return [_with_priority(request, campaigns) for request in requests]


def _with_priority(request: CommunicationRequest, campaigns: Campaigns) -> CommunicationRequest:
    campaign = campaigns.get((request.client_id, request.campaign or ""))
    if campaign is None or campaign.settings.priority is None or request.names_priority:
        return request
    return replace(request, priority=campaign.settings.priority)


def with_first_priorities(
    requests: Sequence[CommunicationRequest], first: Mapping[RequestId, Priority]
) -> list[CommunicationRequest]:
    """The requests, of which those that were stored before have the priority of that time."""
    return [replace(r, priority=first[r.id]) if r.id in first else r for r in requests]
