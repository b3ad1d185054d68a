"""The shapes of answers about a client's configuration, for the OpenAPI document only."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from cdp.http.campaign_outputs import CampaignEffectOut
from cdp.http.outputs import Id, Output
from cdp.http.sender_models import SenderOut


class AssignmentOut(Output):
    """The template that a segment gets."""

    channel: str
    campaign: str | None
    template: str
    assigned_at: datetime


class SegmentOut(Output):
    """A segment with its assignments."""

    name: str
    description: str
    assignments: list[AssignmentOut]
    version: int
    created_at: datetime
    updated_at: datetime


class SegmentPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[SegmentOut]
    next_cursor: str | None


class DeliveryConfigOut(Output):
    """A delivery configuration. What is null is inherited."""

    id: Id
    channel: str | None
    campaign: str | None
    segment: str | None
    attempts_max: int | None
    backoff_initial_s: float | None
    backoff_factor: float | None
    backoff_cap_s: float | None
    backoff_jitter: float | None
    retry_on: list[str] | None
    at_least_once: bool | None
    providers: list[str] | None
    sender: str | None
    priority: str | None
    lane: str | None
    rate_per_s: float | None
    domain_rate_per_s: float | None
    send_window: str | None
    quiet_hours: str | None
    timezone: str | None
    expires_after_s: float | None
    track_opens: bool | None
    track_clicks: bool | None
    version: int
    created_at: datetime
    updated_at: datetime


class DeliveryConfigPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[DeliveryConfigOut]
    next_cursor: str | None


class OriginOut(Output):
    """Where a value comes from."""

    level: Annotated[
        Literal["default", "platform", "client"],
        Field(description="`client` is one of your delivery configurations."),
    ]
    id: Id | None
    channel: str | None
    campaign: str | None
    segment: str | None


class ExplainedFieldOut(Output):
    """A field, the value that counts, and where it comes from."""

    field: str
    value: int | float | bool | str | list[str] | None
    origin: OriginOut


class ExplainedTemplateOut(Output):
    """The template that is assigned to the segment."""

    name: str
    segment: str
    campaign: Annotated[
        str | None, Field(description="Null: the assignment for all campaigns without their own.")
    ]


class RoutedProviderOut(Output):
    """A provider that would be tried."""

    name: str
    kind: str
    owner: Literal["client", "platform", "installation"]


class ExplainOut(Output):
    """What counts for such a communication."""

    template: Annotated[
        ExplainedTemplateOut | None,
        Field(description="Where the request names no template and brings no content."),
    ]
    sender: Annotated[
        SenderOut | None,
        Field(description="The one that a configuration names, else the channel's default."),
    ]
    delivery: list[ExplainedFieldOut]
    providers: Annotated[
        list[RoutedProviderOut], Field(description="In the order in which they are tried.")
    ]
    campaign: Annotated[
        CampaignEffectOut | None, Field(description="Null where it is a mere name.")
    ]
