"""What callers send to have dead letters replayed."""

from typing import Annotated, Literal

from pydantic import Field

from cdp.domain.dead_letter import REPLAY_MAX
from cdp.http.models import ChannelWord, Input, Label, Time

ResultIdText = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        json_schema_extra={"format": "uuid"},
    ),
]


class DeadLetterFilterIn(Input):
    """Which dead letters. What is left out may be anything; the ends of times are exclusive."""

    class_: Annotated[
        Literal["transient", "permanent", "policy", "config"] | None, Field(alias="class")
    ] = None
    reason: Label | None = None
    provider: Label | None = None
    campaign: Label | None = None
    channel: ChannelWord | None = None
    created_from: Time = None
    created_to: Time = None
    failed_from: Time = None
    failed_to: Time = None


class ReplayIn(Input):
    """Which dead letters are to be sent once more: by their ids, or by a filter."""

    ids: Annotated[
        list[ResultIdText] | None,
        Field(min_length=1, max_length=REPLAY_MAX, description="As the list of them has them."),
    ] = None
    filter: Annotated[
        DeadLetterFilterIn | None,
        Field(
            description="An empty one is for all. With `failed_to`, what fails again meanwhile is "
            "not replayed again by a repeat."
        ),
    ] = None
    limit: Annotated[
        int | None,
        Field(ge=1, le=REPLAY_MAX, description=f"With a filter: how many; else {REPLAY_MAX:,}."),
    ] = None
