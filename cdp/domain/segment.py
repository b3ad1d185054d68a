"""Segments: a client's names for groups of its users, and the templates that they get.

Who belongs to a segment is the client's affair. What the platform keeps is which template a segment
gets on a channel in a campaign; an assignment without a campaign is for all that have none of their
own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.ids import ClientId

SEGMENTS_MAX: Final = 1_000
"""Segments that a client may have."""
ASSIGNMENTS_MAX: Final = 1_000
"""Assignments that a segment may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment of a client."""

    client_id: ClientId
    name: str
    description: str
    version: int
    """Rises with each change, from 1."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentKey:
    """What one template is assigned to: of each there is at most one assignment."""

    client_id: ClientId
    segment: str
    channel: str
    campaign: str | None = None
    """None: every campaign without an assignment of its own, and no campaign at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The template that a segment gets."""

    key: AssignmentKey
    template: str
    assigned_at: datetime


def assignment_key(request: CommunicationRequest) -> AssignmentKey | None:
    """What decides on the template of a request that names neither one nor content."""
    if request.template is not None or request.content is not None or request.segment is None:
        return None
    return AssignmentKey(
        client_id=request.client_id,
        segment=request.segment,
        channel=request.channel,
        campaign=request.campaign,
    )


def assigned(
    assignments: Mapping[AssignmentKey, Assignment], wanted: AssignmentKey
) -> Assignment | None:
    """What counts for `wanted`: its campaign's own assignment, or the one for all campaigns."""
    return assignments.get(wanted) or assignments.get(replace(wanted, campaign=None))
