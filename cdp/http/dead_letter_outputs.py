"""The shapes of answers about dead letters, for the OpenAPI document only."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from cdp.domain.event import Status
from cdp.domain.failure import ErrorClass
from cdp.http.outputs import FailureReportOut, Id, Output, ResultOut


class DeadLetterOut(ResultOut):
    """A communication that was given up, and why."""

    failed_at: datetime
    failure: FailureReportOut


class DeadLetterPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[DeadLetterOut]
    next_cursor: str | None


class ReasonCountOut(Output):
    """How many were given up for one reason."""

    class_: Annotated[ErrorClass, Field(alias="class")]
    reason: str
    count: int
    first_failed_at: datetime
    last_failed_at: datetime


class DeadLetterSummaryOut(Output):
    """Dead letters by reason, the most first."""

    total: int
    items: list[ReasonCountOut]


class ReplayedOut(Output):
    """What became of one of them."""

    id: Id
    outcome: Annotated[
        Literal["replayed", "not_dead_letter", "not_found"],
        Field(description="`not_dead_letter` is what was replayed before, or never given up."),
    ]
    status: Annotated[Status | None, Field(description="Null where there is no such thing.")]


class ReplayOut(Output):
    """Which were opened again; they go through the queue once more."""

    replayed: int
    more: Annotated[
        bool, Field(description="Whether the filter fits more than were looked at now: repeat it.")
    ]
    items: list[ReplayedOut]
