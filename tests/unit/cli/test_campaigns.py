"""What `cdp campaign set` reads from its arguments, and how a state is told."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cdp.cli.campaigns import FIELDS, read_name, read_settings, state_of
from cdp.domain.campaign import (
    AutomaticPause,
    Campaign,
    CampaignSettings,
    CampaignState,
    FrequencyCap,
)
from cdp.domain.ids import ClientId
from cdp.domain.lane import Priority
from cdp.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_settings_are_read_by_name():
    given = [
        "description=Spring sale",
        "priority=low",
        "start_at=2026-01-01T00:00:00Z",
        "spread_s=3600",
        "rate_per_s=12.5",
        "frequency_cap.messages=3",
        "frequency_cap.window_s=86400",
        "automatic_pause.bounce_rate=0.05",
        "automatic_pause.complaint_rate=0.001",
        "automatic_pause.results_min=500",
    ]

    assert {text.partition("=")[0] for text in given} == set(FIELDS)
    assert read_settings(given) == CampaignSettings(
        description="Spring sale",
        priority=Priority.LOW,
        start_at=NOW,
        spread_s=3_600,
        rate_per_s=12.5,
        frequency_cap=FrequencyCap(messages=3, window_s=86_400),
        automatic_pause=AutomaticPause(bounce_rate=0.05, complaint_rate=0.001, results_min=500),
    )
    assert read_settings([]) == CampaignSettings()


@pytest.mark.parametrize(
    ("text", "pointer", "part"),
    [
        ("spread_s", "", "NAME=VALUE"),
        ("spread=3", "", "NAME=VALUE"),
        ("spread_s=0", "spread_s", "greater than or equal to 1"),
        ("start_at=tomorrow", "start_at", "RFC 3339"),
        ("frequency_cap.messages=3", "frequency_cap.window_s", "required"),
        ("automatic_pause.bounce_rate=2", "automatic_pause.bounce_rate", "less than or equal"),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(text, pointer, part):
    with pytest.raises(Invalid) as refused:
        read_settings([text])

    [error] = refused.value.errors
    assert error.pointer == pointer
    assert part in error.detail


def test_a_name_is_read_in_its_one_form():
    assert read_name("e\u0301") == "\u00e9"
    for wrong in ("", "a/b", ".", "..", "a\nb", "x" * 101):
        with pytest.raises(Invalid):
            read_name(wrong)


def test_a_state_is_told_with_what_made_it():
    draft = Campaign(client_id=ClientId(b"c" * 16), name="x", created_at=NOW, updated_at=NOW)
    paused = replace(draft, state=CampaignState.PAUSED, pause_reason="api")
    too_many = replace(paused, pause_reason="bounce_rate", is_closed=True)

    assert state_of(draft) == "draft"
    assert state_of(paused) == "paused"
    assert state_of(too_many) == "paused for its bounce rate, closed"
