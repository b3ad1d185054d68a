"""Routes of campaigns."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cdp.domain.campaign import CampaignState
from cdp.http import campaign_outputs, campaigns
from cdp.http.call import Handler
from cdp.http.campaign_models import CampaignIn
from cdp.http.configuration_routes import IF_MATCH
from cdp.http.endpoint import Operation, Route
from cdp.http.route_parts import LISTS, READS, WRITES, Parameter, paging, query_parameter

CAMPAIGN_NAME: Final[Parameter] = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "The name of a campaign, as requests name it: without slash and line break, "
    "which no path leads to.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 100, "pattern": r"^[^/\r\n]+$"},
}
EXAMPLES: Final[Mapping[str, Any]] = {
    "spread": {
        "description": "Spring sale",
        "priority": "low",
        "start_at": "2030-03-01T09:00:00+01:00",
        "spread_s": 14_400,
        "frequency_cap": {"messages": 3, "window_s": 604_800},
        "automatic_pause": {"bounce_rate": 0.05, "complaint_rate": 0.003, "results_min": 500},
    },
    "plain": {},
}
_DETAIL: Final = campaign_outputs.CampaignDetailOut
_AWAITED: Final = (
    " The answer is 200 once every part of the platform knows: from then on nothing of it is sent "
    "but what a worker had begun. If that takes more than a second the answer is 202; repeat the "
    "call to learn when."
)


def _act(
    word: str, handler: Handler, summary: str, description: str, *, awaited: bool = False
) -> Route:
    statuses = (200, 202) if awaited else (200,)
    return Route(
        method="POST",
        path=f"/campaigns/{{name}}/{word}",
        handler=handler,
        operation=Operation(
            id=f"{word}Campaign",
            tag="Campaigns",
            summary=summary,
            description=description + (_AWAITED if awaited else ""),
            parameters=(CAMPAIGN_NAME, IF_MATCH),
            answers=dict.fromkeys(statuses, _DETAIL),
            problems=(*READS, 409, 412),
        ),
    )


CAMPAIGNS: Final[Sequence[Route]] = (
    Route(
        method="GET",
        path="/campaigns",
        handler=campaigns.list_campaigns,
        operation=Operation(
            id="listCampaigns",
            tag="Campaigns",
            summary="List campaigns",
            description="In the order of their names.",
            parameters=(
                query_parameter("state", "Only those in this state.", enum=list(CampaignState)),
                *paging(),
            ),
            answers={200: campaign_outputs.CampaignPage},
            problems=LISTS,
        ),
    ),
    Route(
        method="PUT",
        path="/campaigns/{name}",
        handler=campaigns.put_campaign,
        operation=Operation(
            id="putCampaign",
            tag="Campaigns",
            summary="Save a campaign",
            description="A new one is a draft and is answered with 201. From then on requests that "
            "name it are accepted and held until it is started. `start_at` can be changed until it "
            "has started, everything else until it is finished or cancelled.",
            parameters=(CAMPAIGN_NAME, IF_MATCH),
            body=CampaignIn,
            examples=EXAMPLES,
            answers={200: _DETAIL, 201: _DETAIL},
            problems=(*WRITES, 404, 412),
        ),
    ),
    Route(
        method="GET",
        path="/campaigns/{name}",
        handler=campaigns.get_campaign,
        operation=Operation(
            id="getCampaign",
            tag="Campaigns",
            summary="See how a campaign is",
            description="With its books, all counted at one moment, and the templates that are "
            "assigned for it. The books of a large campaign may be some seconds old.",
            parameters=(CAMPAIGN_NAME,),
            answers={200: _DETAIL},
            problems=READS,
        ),
    ),
    Route(
        method="DELETE",
        path="/campaigns/{name}",
        handler=campaigns.delete_campaign,
        operation=Operation(
            id="deleteCampaign",
            tag="Campaigns",
            summary="Take a campaign away",
            description="While communications of it are unfinished the answer is 409.",
            parameters=(CAMPAIGN_NAME, IF_MATCH),
            answers={204: None},
            problems=(*READS, 409, 412),
        ),
    ),
    _act(
        "start",
        campaigns.start_campaign,
        "Start a campaign",
        "What is held of it goes, at `start_at` if that is still to come.",
    ),
    _act(
        "pause",
        campaigns.pause_campaign,
        "Pause a campaign",
        "What is not sent yet is held; requests are still accepted.",
        awaited=True,
    ),
    _act(
        "resume",
        campaigns.resume_campaign,
        "Let a campaign go on",
        "What is held of it goes. A spread goes on where it was.",
    ),
    _act(
        "close",
        campaigns.close_campaign,
        "Close a campaign",
        "No more requests are accepted for it. It is finished once nothing of it is unfinished.",
    ),
    _act(
        "cancel",
        campaigns.cancel_campaign,
        "Cancel a campaign",
        "What is not sent yet is cancelled, and no more requests are accepted.",
        awaited=True,
    ),
)
