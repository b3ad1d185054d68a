"""The failures in a log, each with all that is known of it."""

from collections.abc import Iterable
from dataclasses import dataclass

from cdp.domain.event import Event, EventName, Fold, step_fold
from cdp.domain.failure import Failure
from cdp.domain.ids import EventId, number_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReport:
    """A failure as people look into it."""

    failure: Failure
    detail: str
    """What the provider answered, or what the template lacks; it may hold an address."""


def failures_of(events: Iterable[Event]) -> dict[EventId, FailureReport]:
    """What went wrong in each event of one result's log that says so.

    Args:
        events: in the order of their numbers; those without a number say of none.
    """
    state, detail = Fold(), ""
    found: dict[EventId, FailureReport] = {}
    for event in events:
        if number_of(event.id) is None:
            continue
        state = step_fold(state, event.name, event.at, event.metadata)
        if event.name is EventName.DELIVERY_FAILED:
            detail = event.metadata.get("answer") or ""
        elif event.name is EventName.UNDELIVERABLE:
            detail = event.metadata.get("detail") or detail
        elif event.name is EventName.REPLAYED:
            detail = ""
        if event.name in _SAYING:
            assert state.failure is not None
            found[event.id] = FailureReport(failure=state.failure, detail=detail)
    return found


_SAYING = frozenset({EventName.DELIVERY_FAILED, EventName.UNDELIVERABLE})
