"""Campaigns in the rules' tests: made and moved as by the API, kept as by the Supervisor."""

from datetime import timedelta
from typing import Any

from cdp.domain.campaign import Campaign, CampaignAct, CampaignSettings
from cdp.domain.event import Event, EventName
from cdp.domain.ids import ClientId
from cdp.services.campaign_keeper import CampaignKeeper
from cdp.wiring import Wiring

SPRING = "spring"


async def make_campaign(
    wiring: Wiring, client_id: ClientId, name: str = SPRING, **settings: Any
) -> Campaign:
    """A draft."""
    made, is_new = await wiring.campaigns.service.put(
        client_id, name, CampaignSettings(**settings), seen=None
    )
    assert is_new
    return made


async def act(
    wiring: Wiring, client_id: ClientId, *acts: CampaignAct, name: str = SPRING
) -> Campaign:
    """What a client does with a campaign, one after the other."""
    for each in acts:
        campaign = await wiring.campaigns.service.act(client_id, name, each)
    return campaign


def quick_keeper(wiring: Wiring) -> CampaignKeeper:
    """The Supervisor's step, without the grace that running requests are given."""
    parts = wiring.campaigns
    return CampaignKeeper(
        watch=parts.watch,
        service=parts.service,
        campaigns=parts.campaigns,
        results=parts.results,
        accounts=parts.accounts,
        clock=wiring.clock,
        grace=timedelta(),
    )


def reasons(events: list[Event]) -> list[str]:
    """Why it waited, each time."""
    return [e.metadata["reason"] for e in events if e.name is EventName.SCHEDULED]
