"""The shapes of answers about campaigns, for the OpenAPI document only."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from cdp.domain.campaign import CampaignState
from cdp.http.outputs import BooksOut, Output, PendingOut, PriorityWord


class FrequencyCapOut(Output):
    """How often one recipient may be written to."""

    messages: int
    window_s: int


class AutomaticPauseOut(Output):
    """When the platform pauses it by itself."""

    bounce_rate: float | None
    complaint_rate: float | None
    results_min: int


class CampaignOut(Output):
    """A campaign."""

    name: str
    description: str
    state: CampaignState
    closed: Annotated[bool, Field(description="No more requests are taken in for it.")]
    pause_reason: Annotated[str | None, Field(description="`api`, or the rate that was too high.")]
    priority: PriorityWord | None
    start_at: datetime | None
    spread_s: int | None
    rate_per_s: float | None
    frequency_cap: FrequencyCapOut | None
    automatic_pause: AutomaticPauseOut | None
    version: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    paused_at: datetime | None
    closed_at: datetime | None
    ended_at: Annotated[datetime | None, Field(description="When it was finished or cancelled.")]


class CampaignPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[CampaignOut]
    next_cursor: str | None


class CampaignPendingOut(PendingOut):
    """What is not finished, by where it is."""

    held: Annotated[int, Field(description="Until the campaign begins or goes on.")]


class CampaignBooksOut(BooksOut):
    """`accepted` is the sum of the six that follow it, `pending` the sum of `pending_by`."""

    pending_by: CampaignPendingOut
    counted_at: datetime


class PermutationOut(Output):
    """What a segment gets on a channel in this campaign."""

    segment: str
    channel: str
    template: str


class CampaignDetailOut(CampaignOut):
    """A campaign with its books, and the templates that are assigned for it."""

    counts: CampaignBooksOut
    permutations: list[PermutationOut]


class CampaignEffectOut(Output):
    """What its campaign means for a communication."""

    name: str
    state: CampaignState
    effect: Annotated[
        Literal["sent", "held", "refused"],
        Field(description="What would become of a request that came now."),
    ]
    detail: str
