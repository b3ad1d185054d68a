"""What the names of a log's events alone say, worked out once for each sequence of names.

Nearly all logs are one of a few sequences. The audit looks a sequence up and adds what only the
metadata say; `folded` equals `cdp.domain.event.fold`, at a fraction of its price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from cdp.domain.event import (
    FINAL,
    LEGAL_AFTER,
    STATUS_AFTER,
    WORKER_LOST,
    EventName,
    Fold,
    is_legal,
    step_fold,
)
from cdp.domain.failure import Failure, failed, given_up

Document = Mapping[str, Any]
"""A stored document, as it is read: the audit is too hot for a dataclass an event."""
Finding = tuple[str, str]
"""A rule and a sentence."""

E = EventName
SHAPES_MAX: Final = 8192
_NOTHING: Final[Document] = {}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES: Final[Mapping[str, EventName]] = {name.value: name for name in LEGAL_AFTER}
_OUTCOMES: Final = frozenset({E.DELIVERY_SUCCEEDED, E.DELIVERY_FAILED})
_MENDING: Final = frozenset({E.DELIVERY_SUCCEEDED, E.REPLAYED})
_STOPPED: Final = frozenset({E.CANCELLED, E.SUPPRESSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A sequence of names, judged."""

    fold: Fold
    """What the names add up to; what needs metadata is not in it."""
    findings: tuple[Finding, ...]
    is_known: bool
    """Whether every name is one of a numbered event: else nothing can be folded."""
    queued: tuple[int, ...]
    attempted: tuple[int, ...]
    outcomes: tuple[tuple[int, int], ...]
    """Where each outcome stands, and of which attempt it is."""
    last_outcome: EventName | None
    replayed_at: int
    """Where the last REPLAYED stands; -1 without one."""
    is_stopped: bool
    """Whether it was cancelled or suppressed."""


@lru_cache(maxsize=SHAPES_MAX)
def shape_of(names: tuple[str, ...]) -> Shape:
    """Judge the order of a log's numbered events (rules V2, V3, V6 and V9)."""
    walk = _Walk()
    for number, word in enumerate(names, start=1):
        walk.step(number, word)
    known = [_NAMES.get(word) for word in names]
    outcomes = [name for name in known if name in _OUTCOMES]
    return Shape(
        fold=walk.fold,
        findings=tuple(walk.findings),
        is_known=None not in known,
        queued=tuple(i for i, name in enumerate(known) if name is E.QUEUED),
        attempted=tuple(i for i, name in enumerate(known) if name is E.DELIVERY_ATTEMPTED),
        outcomes=tuple(walk.outcomes),
        last_outcome=outcomes[-1] if outcomes else None,
        replayed_at=max((i for i, name in enumerate(known) if name is E.REPLAYED), default=-1),
        is_stopped=any(name in _STOPPED for name in known),
    )


class _Walk:
    """Goes through the names once and notes what may not be."""

    def __init__(self) -> None:
        self.fold = Fold()
        self.findings: list[Finding] = []
        self.outcomes: list[tuple[int, int]] = []
        self._closed_by: EventName | None = None
        self._answered = False

    def step(self, number: int, word: str) -> None:
        name = _NAMES.get(word)
        if name is None:
            self.findings.append(("V3", f"Event {number} is {word}, which can have no number."))
            return
        if not is_legal(self.fold, name):
            self.findings.append(("V3", self._illegal(number, name)))
        self._attempts(number, name)
        self._finals(number, name)
        self.fold = step_fold(self.fold, name, _EPOCH, _NOTHING)

    def _illegal(self, number: int, name: EventName) -> str:
        before = self.fold.last
        if before is None:
            return f"The log begins with {name} instead of CREATED."
        if before in LEGAL_AFTER[name]:
            content = "without content" if name is E.QUEUED else "for the second time"
            return f"Event {number} is {name} {content}."
        return f"Event {number} is {name}, which may not follow {before}."

    def _attempts(self, number: int, name: EventName) -> None:
        if name is E.DELIVERY_ATTEMPTED:
            self._answered = False
            if self._closed_by in _STOPPED:
                self.findings.append(
                    ("V9", f"Event {number} is an attempt after {self._closed_by}.")
                )
        elif name in _OUTCOMES:
            attempt = self.fold.attempt
            if self._answered:
                self.findings.append(("V6", f"Attempt {attempt} has two outcomes."))
            self._answered = True
            self.outcomes.append((number - 1, attempt))

    def _finals(self, number: int, name: EventName) -> None:
        if name is E.REPLAYED:
            self._closed_by = None
        elif name in FINAL:
            if self._closed_by is not None:
                sentence = f"It is final twice: {self._closed_by}, and {name} as event {number}."
                self.findings.append(("V2", sentence))
            self._closed_by = name


def folded(shape: Shape, events: Sequence[Document]) -> Fold:
    """What the events add up to: the same as `fold`, given their shape."""
    last = events[-1]
    priority = send_at = expires_at = None
    for event in events:
        metadata = event.get("metadata")
        if metadata:
            priority = metadata.get("priority", priority)
            send_at = metadata.get("send_at", send_at)
            expires_at = metadata.get("expires_at", expires_at)
    at = last["created_at"]
    metadata = last.get("metadata", _NOTHING)
    name = shape.fold.last
    assert name is not None
    return Fold(
        seq=len(events),
        last=name,
        status=STATUS_AFTER[name],
        attempt=shape.fold.attempt,
        lost=_lost(shape, events),
        has_content=shape.fold.has_content,
        due_at=None if name in FINAL else metadata.get("due_at", at),
        priority=priority,
        send_at=send_at,
        expires_at=expires_at,
        reason=metadata.get("reason"),
        failure=_failure(events) if shape.fold.failure is not None else None,
        replayed_after=shape.fold.replayed_after,
        since=at,
    )


def _lost(shape: Shape, events: Sequence[Document]) -> int:
    lost = 0
    for index, _ in shape.outcomes:
        if index > shape.replayed_at and events[index]["event"] == E.DELIVERY_FAILED:
            code = events[index].get("metadata", _NOTHING).get("code")
            lost = lost + 1 if code == WORKER_LOST else 0
    return lost


def _failure(events: Sequence[Document]) -> Failure | None:
    """What went wrong last, of a log whose names say that something did."""
    failure = provider = None
    for event in events:
        name, metadata = event["event"], event.get("metadata", _NOTHING)
        if name == E.DELIVERY_ATTEMPTED:
            provider = metadata.get("provider")
        elif name == E.DELIVERY_FAILED:
            failure = failed(metadata, provider)
        elif name == E.UNDELIVERABLE:
            failure = given_up(metadata, failure)
        elif name in _MENDING:
            failure = None
    return failure


def unknown_outcomes(shape: Shape, events: Sequence[Document]) -> int:
    """How many attempts ended without anybody knowing what the provider did."""
    unknown = 0
    for index, _ in shape.outcomes:
        unknown += events[index].get("metadata", _NOTHING).get("outcome") == "unknown"
    return unknown
