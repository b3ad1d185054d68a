"""The audit of one result: its log, its projection and its kin, held against the rules V2 to V13.

Pure: `VerificationService` reads, and decides what a finding is worth on a platform that moves.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from cdp.domain.books import PENDING, Bucket, bucket_of
from cdp.domain.event import FINAL_STATUSES, UNNUMBERED, EventName, Fold, Status, fold
from cdp.domain.failure import failure_document
from cdp.domain.ids import partition_of
from cdp.domain.lane import Priority, lane_of
from cdp.domain.log_shape import Document, Finding, Shape, folded, shape_of, unknown_outcomes

UNNUMBERED_MARK: Final = b"\xff\xff\xff\xff"
_UNNUMBERED_NAMES: Final = frozenset(name.value for name in UNNUMBERED)
_CLICKED: Final = EventName.CLICKED.value
_OPENED: Final = frozenset({EventName.OPENED.value, _CLICKED})
_TAILS: Final = tuple(number.to_bytes(4, "big") + bytes(8) for number in range(1, 257))
_NOTHING: Final[Document] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked of every result."""

    now: datetime
    lease: timedelta
    """How long a worker owns an attempt; what is due for two of them has no owner."""
    partitions: int = 0
    """How many there are; 0 when it is not known."""
    settled: bool = False
    """Nothing may be in motion."""
    ledger_until: datetime | None = None
    """What was delivered before this must be in the provider's ledger; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that is stored of one result, as it is stored."""

    result_id: bytes
    events: Sequence[Document]
    """In the order of their ids."""
    result: Document | None
    request: Document | None = None
    recipient: Document | None = None
    communication: Document | None = None
    ledger: Sequence[bytes] | None = None
    """The address marks of what the provider says it took; None when there is no ledger."""


@dataclass(slots=True, kw_only=True)
class Judgement:
    """What the audit of one result came to."""

    findings: list[Finding] = field(default_factory=list)
    client_id: bytes = b""
    bucket: Bucket | None = None
    """None when there is no log, or it was never accepted."""
    late: bool = False
    """The result is behind its log, but something will look at it soon."""
    overdue: bool = False
    never_accepted: bool = False
    epoch: int | None = None
    unknown: int = 0
    doubles: int = 0
    opened: bool = False
    clicked: bool = False
    last_at: datetime | None = None

    @property
    def is_clear(self) -> bool:
        """Whether there is nothing to look at again."""
        return not self.findings and not self.late


def address_mark(address: str) -> bytes:
    """An address as the ledger's entries are compared by it."""
    return hashlib.blake2b(address.strip().lower().encode(), digest_size=8).digest()


def judge(case: Case, terms: Terms) -> Judgement:
    """Hold one result against the rules. Whatever is stored, there is a judgement."""
    verdict = Judgement()
    try:
        _judge(case, terms, verdict)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        kind = type(error).__name__
        verdict.findings.append(("V4", f"What is stored of it cannot be read: {kind} {error}."))
    return verdict


def _judge(case: Case, terms: Terms, verdict: Judgement) -> None:
    events = case.events
    count = len(events)
    while count and events[count - 1]["_id"][16:20] == UNNUMBERED_MARK:
        count -= 1
    numbered = events if count == len(events) else events[:count]
    verdict.client_id = _owner(case)
    shape = shape_of(tuple([event["event"] for event in numbered]))
    if case.result is None and _was_never_accepted(shape, case):
        verdict.never_accepted = True
        return
    if len(events) > count:
        _engagement(events[count:], shape, verdict)
    if numbered:
        verdict.findings += shape.findings
        verdict.bucket = bucket_of(shape.fold.status, shape.fold.attempt)
        verdict.last_at = numbered[-1]["created_at"]
        verdict.unknown = unknown_outcomes(shape, numbered) if shape.outcomes else 0
        _metadata(shape, numbered, verdict)
    _projection(case, shape, numbered, terms, verdict)
    _kinship(case, shape, verdict)
    if terms.settled and verdict.bucket in PENDING:
        verdict.findings.append(("V2", f"It has no final state: it is {shape.fold.status}."))
    if case.ledger is not None:
        _ledger(case, shape, numbered, terms, verdict)


def _owner(case: Case) -> bytes:
    if case.result is not None:
        owner: bytes = case.result["client_id"]
        return owner
    return bytes(case.events[0]["client_id"]) if case.events else b""


def _was_never_accepted(shape: Shape, case: Case) -> bool:
    """Only CREATED: a crash before the result was written, and nobody got a 202."""
    return len(case.events) == 1 and shape.fold.last is EventName.CREATED and not case.ledger


def _engagement(events: Sequence[Document], shape: Shape, verdict: Judgement) -> None:
    for event in events:
        name = event["event"]
        if name not in _UNNUMBERED_NAMES:
            verdict.findings.append(("V3", f"There is a {name} without a number."))
        elif name == _CLICKED:
            verdict.clicked = True
        if name in _OPENED:
            verdict.opened = True
    if not shape.attempted:
        name = events[0]["event"]
        verdict.findings.append(("V3", f"There is a {name}, but it was never attempted."))


def _metadata(shape: Shape, events: Sequence[Document], verdict: Judgement) -> None:
    """Attempts count up (V6), epochs never fall (V10)."""
    findings = verdict.findings
    for ordinal, index in enumerate(shape.attempted, start=1):
        said = events[index].get("metadata", _NOTHING).get("attempt")
        if said != ordinal:
            findings.append(("V6", f"Attempt {ordinal} is numbered {said}."))
    for index, attempt in shape.outcomes:
        said = events[index].get("metadata", _NOTHING).get("attempt", attempt)
        if said != attempt:
            findings.append(("V6", f"The outcome of attempt {attempt} names attempt {said}."))
    highest = -1
    for index in shape.queued:
        epoch = events[index].get("metadata", _NOTHING).get("epoch", 0)
        if epoch < highest:
            findings.append(("V10", f"It was queued in epoch {epoch} after epoch {highest}."))
        highest = max(highest, epoch)
    verdict.epoch = highest if shape.queued else None


def _projection(
    case: Case, shape: Shape, numbered: Sequence[Document], terms: Terms, verdict: Judgement
) -> None:
    """The result is what its log adds up to (V4), and is taken care of (V13)."""
    findings, result = verdict.findings, case.result
    missing = _missing_number(case.result_id, numbered)
    if missing is not None:
        findings.append(("V4", f"Number {missing} is missing in its log."))
    if result is None:
        findings.append(("V4", f"Its log goes to {shape.fold.last}, but there is no result."))
        return
    if not numbered:
        findings.append(("V4", "There is a result without a log."))
        return
    if terms.partitions:
        partition = partition_of(case.result_id, terms.partitions)
        if result["partition"] != partition:
            said = f"It is in partition {result['partition']}, its id says {partition}."
            findings.append(("V4", said))
    due_at = result.get("due_at")
    if due_at is not None and due_at < terms.now - 2 * terms.lease:
        verdict.overdue = True
    if missing is None and shape.is_known:
        _held_against(result, folded(shape, numbered), numbered, terms, verdict)


def _missing_number(result_id: bytes, numbered: Sequence[Document]) -> int | None:
    for index, event in enumerate(numbered):
        tail = _TAILS[index] if index < len(_TAILS) else _tail(index + 1)
        if event["_id"][16:] != tail:
            return index + 1
    return None


def _tail(number: int) -> bytes:
    return number.to_bytes(4, "big") + bytes(8)


def _held_against(
    result: Document, true: Fold, numbered: Sequence[Document], terms: Terms, verdict: Judgement
) -> None:
    seq = result["seq"]
    if seq > true.seq:
        sentence = f"The result is at event {seq}, its log ends with {true.seq}."
        verdict.findings.append(("V4", sentence))
        return
    if seq < true.seq:
        true_then = fold(
            (EventName(e["event"]), e["created_at"], e.get("metadata", _NOTHING))
            for e in numbered[:seq]
        )
        if not differences(true_then, result):
            _behind(result, true, terms, verdict)
            return
        true = true_then
    for difference in differences(true, result):
        verdict.findings.append(("V4", difference))


def _behind(result: Document, true: Fold, terms: Terms, verdict: Judgement) -> None:
    """Late is no lie, as long as a scan will meet the item and repair it."""
    due_at = result.get("due_at")
    if not terms.settled and due_at is not None and due_at <= terms.now + terms.lease:
        verdict.late = True
        return
    sentence = f"The result is at event {result['seq']}, behind its log's {true.seq}."
    verdict.findings.append(("V4", sentence))


def differences(true: Fold, result: Document) -> list[str]:
    """Where a result is not what its log adds up to."""
    priority = result["priority"] if true.priority is None else true.priority
    is_final = true.status in FINAL_STATUSES
    due_at = result.get("due_at")
    if (
        result["status"] == true.status
        and result["attempt"] == true.attempt
        and result["priority"] == priority
        and result.get("lost", 0) == true.lost
        and result.get("has_content", False) == true.has_content
        and result.get("replayed_after", 0) == true.replayed_after
        and result.get("failure") == failure_document(true.failure)
        and result.get("send_at") == true.send_at
        and result.get("expires_at") == true.expires_at
        and result["lane"] == lane_of(result["channel"], Priority(priority))
        and (due_at is None) == is_final
        and (is_final or _is_due_rightly(due_at, true))
    ):
        return []
    expected: dict[str, Any] = {
        "status": true.status.value,
        "attempt": true.attempt,
        "lost": true.lost,
        "has_content": true.has_content,
        "replayed_after": true.replayed_after,
        "failure": failure_document(true.failure),
        "priority": priority,
        "lane": lane_of(result["channel"], Priority(priority)),
        "send_at": true.send_at,
        "expires_at": true.expires_at,
        "due_at": None if is_final else true.due_at,
    }
    defaults = {"lost": 0, "has_content": False, "replayed_after": 0}
    said = {name: result.get(name, defaults.get(name)) for name in expected}
    if not is_final and due_at is not None and _is_due_rightly(due_at, true):
        del expected["due_at"]
    return [
        f"Its {name} is {said[name]}, its log says {value}."
        for name, value in expected.items()
        if said[name] != value
    ]


def _is_due_rightly(due_at: Any, true: Fold) -> bool:
    if true.status is Status.SENDING:
        # A worker renews its lease in the result alone.
        return due_at is not None and true.due_at is not None and bool(due_at >= true.due_at)
    return bool(due_at == true.due_at)


def _kinship(case: Case, shape: Shape, verdict: Judgement) -> None:
    """All that belongs to a result belongs to one client and one request (V12, V5)."""
    owner, findings, result = verdict.client_id, verdict.findings, case.result
    for event in case.events:
        if event["client_id"] != owner:
            findings.append(("V12", f"Its {event['event']} belongs to another client."))
            break
    if result is None:
        return
    _request(case.request, result, findings)
    _recipient(case.recipient, result, findings)
    if case.communication is not None:
        _content(case.communication, result, findings)
    elif shape.fold.has_content:
        findings.append(("V4", "Its content is resolved, but there is none."))


def _request(request: Document | None, result: Document, findings: list[Finding]) -> None:
    if request is None:
        findings.append(("V12", "It has no request."))
        return
    if request["client_id"] != result["client_id"]:
        findings.append(("V12", "Its request belongs to another client."))
    for name in ("campaign", "batch_id"):
        if request.get(name) != result.get(name):
            findings.append(("V5", f"Its request has another {name}."))


def _recipient(recipient: Document | None, result: Document, findings: list[Finding]) -> None:
    if recipient is None:
        findings.append(("V12", "It has no recipient."))
        return
    if recipient["client_id"] != result["client_id"]:
        findings.append(("V12", "Its recipient belongs to another client."))
    if recipient["request_id"] != result["request_id"]:
        findings.append(("V12", "Its recipient belongs to another request."))
    if recipient["identifier"] != result["recipient"]:
        findings.append(("V12", "Its recipient has another address."))


def _content(communication: Document, result: Document, findings: list[Finding]) -> None:
    if communication["client_id"] != result["client_id"]:
        findings.append(("V12", "Its content belongs to another client."))
    if communication["request_id"] != result["request_id"]:
        findings.append(("V12", "Its content belongs to another request."))
    if communication["to"][0] != result["recipient"]:
        findings.append(("V12", "Its content is for another address."))


def _ledger(
    case: Case, shape: Shape, numbered: Sequence[Document], terms: Terms, verdict: Judgement
) -> None:
    """What the provider took is what was attempted (V7), and doubles are explained (V8, V9)."""
    entries = case.ledger or ()
    mine = address_mark(case.result["recipient"]) if case.result else b""
    # Copies to others are no messages of their own: they only must have been attempted.
    taken = sum(not entry or entry == mine for entry in entries)
    succeeded = shape.last_outcome is EventName.DELIVERY_SUCCEEDED
    is_open = len(shape.attempted) > len(shape.outcomes)
    explained = succeeded + verdict.unknown + is_open
    verdict.doubles = max(taken - 1, 0)
    if entries and not (shape.attempted and explained):
        rule = "V9" if shape.is_stopped else "V7"
        sentence = f"The provider took it, but no attempt of it came through ({shape.fold.last})."
        verdict.findings.append((rule, sentence))
    elif taken > explained:
        sentence = f"The provider took it {taken} times, of which {explained} can be explained."
        verdict.findings.append(("V8", sentence))
    # A ledger goes by Message-ID, which only an email has.
    is_in_ledgers = case.result is None or case.result["channel"] == "email"
    if succeeded and not taken and is_in_ledgers:
        at = numbered[shape.outcomes[-1][0]]["created_at"]
        if terms.ledger_until is None or at < terms.ledger_until:
            verdict.findings.append(("V7", "It was delivered, but the provider does not know it."))
