"""Campaigns as callers get to see them."""

from typing import Any

from cdp.domain.campaign import Campaign, CampaignSettings, Standing
from cdp.domain.segment import Assignment
from cdp.http.views import books_view
from cdp.services.campaign_service import CampaignView


def campaign_view(campaign: Campaign) -> dict[str, Any]:
    """A campaign."""
    return {
        "name": campaign.name,
        "state": campaign.state.value,
        "closed": campaign.is_closed,
        "pause_reason": campaign.pause_reason,
        **_settings_view(campaign.settings),
        "version": campaign.version,
        "created_at": campaign.created_at,
        "updated_at": campaign.updated_at,
        "started_at": campaign.started_at,
        "paused_at": campaign.paused_at,
        "closed_at": campaign.closed_at,
        "ended_at": campaign.ended_at,
    }


def _settings_view(settings: CampaignSettings) -> dict[str, Any]:
    cap, pause = settings.frequency_cap, settings.automatic_pause
    return {
        "description": settings.description,
        "priority": None if settings.priority is None else settings.priority.word,
        "start_at": settings.start_at,
        "spread_s": settings.spread_s,
        "rate_per_s": settings.rate_per_s,
        "frequency_cap": None
        if cap is None
        else {"messages": cap.messages, "window_s": cap.window_s},
        "automatic_pause": None
        if pause is None
        else {
            "bounce_rate": pause.bounce_rate,
            "complaint_rate": pause.complaint_rate,
            "results_min": pause.results_min,
        },
    }


def campaign_detail_view(view: CampaignView) -> dict[str, Any]:
    """A campaign with its books and its permutations."""
    return {
        **campaign_view(view.campaign),
        "counts": {**books_view(view.books.books), "counted_at": view.books.counted_at},
        "permutations": [_permutation_view(assignment) for assignment in view.permutations],
    }


def _permutation_view(assignment: Assignment) -> dict[str, str]:
    return {
        "segment": assignment.key.segment,
        "channel": assignment.key.channel,
        "template": assignment.template,
    }


def campaign_effect_view(campaign: Campaign | None) -> dict[str, Any] | None:
    """What a campaign means for a request that would come now; nothing where it is a mere name."""
    if campaign is None:
        return None
    if not campaign.takes_requests:
        effect, detail = "refused", f"The campaign is {campaign.closing_word}."
    elif campaign.standing is Standing.HELD:
        effect, detail = "held", f"It waits, for the campaign is {campaign.state.value}."
    elif campaign.settings.spread_s is not None:
        effect, detail = "sent", f"Spread over {campaign.settings.spread_s:,} s from its start."
    else:
        effect, detail = "sent", "The campaign is running."
    return {
        "name": campaign.name,
        "state": campaign.state.value,
        "effect": effect,
        "detail": detail,
    }
