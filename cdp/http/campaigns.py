"""`/campaigns`: made and changed, and brought from state to state."""

import functools
from typing import Final

from cdp.domain.campaign import (
    AutomaticPause,
    Campaign,
    CampaignAct,
    CampaignSettings,
    CampaignState,
    FrequencyCap,
)
from cdp.errors import Invalid, NotFound
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.campaign_models import CampaignIn, campaign_name
from cdp.http.campaign_views import campaign_detail_view, campaign_view
from cdp.http.entity_tags import tagged_answer, versions_asked_for
from cdp.http.json_body import json_body
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import known_parameters
from cdp.http.request_defaults import PRIORITIES

_AWAITED: Final = frozenset({CampaignAct.PAUSE, CampaignAct.CANCEL})
"""What is answered with 200 only once every shard and worker knows of it."""


async def put_campaign(call: Call) -> Answer:
    """Make a draft, or let a campaign have other settings."""
    name = campaign_name(call.path("name"))
    if name is None:
        raise Invalid.at(
            "name", "name_invalid", "A campaign's name has no slash or control character."
        )
    given = await json_body(call, CampaignIn)
    campaign, is_new = await call.services.campaigns.put(
        call.caller.client.id, name, settings_in(given), seen=versions_asked_for(call.headers)
    )
    return await _answer(call, campaign, status=201 if is_new else 200)


async def list_campaigns(call: Call) -> Answer:
    """A page of campaigns in the order of their names."""
    known_parameters(call, frozenset({"state", "limit", "cursor"}))
    limit = limit_of(call)
    state = _state(call.query.get("state"))
    listing = f"campaigns:{state}"
    after = cursor_of(call, listing)
    page = await call.services.campaigns.page(
        call.caller.client.id,
        state=state,
        after=None if after is None else after.decode(),
        limit=limit + 1,
    )
    return json_answer(
        page_of(
            call,
            listing,
            page,
            limit=limit,
            position=lambda campaign: campaign.name.encode(),
            view=campaign_view,
        )
    )


async def get_campaign(call: Call) -> Answer:
    """A campaign with its books."""
    known_parameters(call, frozenset())
    campaign = await call.services.campaigns.get(call.caller.client.id, _name_in_path(call))
    return await _answer(call, campaign)


async def delete_campaign(call: Call) -> Answer:
    """Take a campaign away that has nothing unfinished."""
    await call.services.campaigns.delete(
        call.caller.client.id, _name_in_path(call), seen=versions_asked_for(call.headers)
    )
    return Answer(status=204, body=b"")


async def act_on_campaign(call: Call, *, act: CampaignAct) -> Answer:
    """Bring a campaign into another state."""
    campaign = await call.services.campaigns.act(
        call.caller.client.id,
        _name_in_path(call),
        act,
        seen=versions_asked_for(call.headers),
    )
    awaits = act in _AWAITED
    is_known = not awaits or await call.services.campaigns_applied(campaign.epoch)
    return await _answer(call, campaign, status=200 if is_known else 202)


start_campaign = functools.partial(act_on_campaign, act=CampaignAct.START)
pause_campaign = functools.partial(act_on_campaign, act=CampaignAct.PAUSE)
resume_campaign = functools.partial(act_on_campaign, act=CampaignAct.RESUME)
close_campaign = functools.partial(act_on_campaign, act=CampaignAct.CLOSE)
cancel_campaign = functools.partial(act_on_campaign, act=CampaignAct.CANCEL)


def settings_in(given: CampaignIn) -> CampaignSettings:
    """What is said of a campaign."""
    cap, pause = given.frequency_cap, given.automatic_pause
    return CampaignSettings(
        description=given.description,
        priority=None if given.priority is None else PRIORITIES[given.priority],
        start_at=given.start_at,
        spread_s=given.spread_s,
        rate_per_s=given.rate_per_s,
        frequency_cap=None
        if cap is None
        else FrequencyCap(messages=cap.messages, window_s=cap.window_s),
        automatic_pause=None
        if pause is None
        else AutomaticPause(
            bounce_rate=pause.bounce_rate,
            complaint_rate=pause.complaint_rate,
            results_min=pause.results_min,
        ),
    )


def _name_in_path(call: Call) -> str:
    name = campaign_name(call.path("name"))
    if name is None:
        raise NotFound
    return name


def _state(given: str | None) -> CampaignState | None:
    try:
        return None if given is None else CampaignState(given)
    except ValueError:
        states = ", ".join(CampaignState)
        raise Invalid.at("state", "invalid", f"One of: {states}.") from None


async def _answer(call: Call, campaign: Campaign, *, status: int = 200) -> Answer:
    view = await call.services.campaigns.view(campaign)
    return tagged_answer(campaign_detail_view(view), campaign.version, status=status)
