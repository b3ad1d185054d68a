"""The audit of one result, and the books."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.books import Balance, Books, Bucket, bucket_of
from cdp.domain.event import LEGAL_AFTER, WORKER_LOST, EventName, Status, fold
from cdp.domain.failure import failure_document
from cdp.domain.ids import event_id, partition_of, unnumbered_event_id, uuid7
from cdp.domain.log_shape import folded, shape_of
from cdp.domain.result_audit import Case, Judgement, Terms, address_mark, differences, judge

E = EventName
T0 = datetime(2026, 11, 24, 12, tzinfo=UTC)
RESULT = uuid7(unix_ms=1_790_000_000_000, random_bytes=bytes(range(10)))
CLIENT, OTHER = b"a" * 16, b"b" * 16
ADDRESS = "ada@example.org"
SENT = [E.CREATED, E.CONTENT_RESOLVED, E.QUEUED, E.DELIVERY_ATTEMPTED, E.DELIVERY_SUCCEEDED]
TERMS = Terms(now=T0 + timedelta(minutes=1), lease=timedelta(seconds=60), partitions=64)


def log_of(
    names: Sequence[EventName | str], metadata: Mapping[int, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """A log with these names, its attempts numbered; `metadata` adds to an event by number."""
    events, attempt = [], 0
    for number, name in enumerate(names, start=1):
        details: dict[str, Any] = {"priority": 1} if name == E.CREATED else {}
        if name == E.DELIVERY_ATTEMPTED:
            attempt += 1
            details = {"attempt": attempt, "due_at": T0 + timedelta(minutes=2)}
        if name in (E.DELIVERY_SUCCEEDED, E.DELIVERY_FAILED):
            details = {"attempt": attempt}
        details |= (metadata or {}).get(number, {})
        event: dict[str, Any] = {
            "_id": event_id(RESULT, number),
            "event": str(name),
            "created_at": T0 + timedelta(seconds=number),
            "client_id": CLIENT,
        }
        events.append(event | ({"metadata": details} if details else {}))
    return events


def fold_of(events: Sequence[Mapping[str, Any]]) -> Any:
    return fold((E(e["event"]), e["created_at"], e.get("metadata", {})) for e in events)


def result_of(events: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """The result that a log adds up to."""
    true = fold_of(events)
    result = {
        "_id": RESULT,
        "request_id": RESULT,
        "client_id": CLIENT,
        "recipient": ADDRESS,
        "status": true.status.value,
        "seq": true.seq,
        "attempt": true.attempt,
        "lost": true.lost,
        "has_content": true.has_content,
        "priority": true.priority,
        "channel": "email",
        "lane": "email.high" if true.priority == 0 else "email.default",
        "send_at": true.send_at,
        "expires_at": true.expires_at,
        "due_at": true.due_at,
        "failure": failure_document(true.failure),
        "replayed_after": true.replayed_after,
        "partition": partition_of(RESULT, 64),
    }
    return {name: value for name, value in (result | changes).items() if value is not None}


def case_of(
    events: Sequence[Mapping[str, Any]],
    result: Mapping[str, Any] | None = None,
    *,
    ledger: Any = None,
    **kin: Any,
) -> Case:
    """All that belongs to a log, right where nothing else is given."""
    numbered = [e for e in events if e["_id"][16:20] != b"\xff\xff\xff\xff"]
    known: dict[str, Any] = {
        "request": {"_id": RESULT, "client_id": CLIENT, "recipients": 1},
        "recipient": {"client_id": CLIENT, "request_id": RESULT, "identifier": ADDRESS},
        "communication": {"client_id": CLIENT, "request_id": RESULT, "to": [ADDRESS, "Ada"]},
    }
    return Case(
        result_id=RESULT,
        events=events,
        result=result_of(numbered) if result is None else result,
        ledger=ledger,
        **(known | kin),
    )


def rules(verdict: Judgement) -> set[str]:
    return {rule for rule, _ in verdict.findings}


names = st.sampled_from(sorted(LEGAL_AFTER))
moments = st.integers(0, 10**7).map(lambda seconds: T0 + timedelta(seconds=seconds))
metadatas = st.fixed_dictionaries(
    {},
    optional={
        "due_at": moments,
        "priority": st.integers(0, 2),
        "send_at": st.none() | moments,
        "expires_at": st.none() | moments,
        "code": st.sampled_from([WORKER_LOST, "451"]),
        "reason": st.sampled_from(["unknown", "transient"]),
    },
)


@given(steps=st.lists(st.tuples(names, metadatas), min_size=1, max_size=30))
def test_the_quick_fold_is_the_fold_for_any_names_and_metadata(steps):
    events = [
        {"event": str(name), "created_at": T0 + timedelta(seconds=n)}
        | ({"metadata": metadata} if metadata else {})
        for n, (name, metadata) in enumerate(steps)
    ]

    quick = folded(shape_of(tuple(e["event"] for e in events)), events)

    assert quick == fold_of(events)


@given(steps=st.lists(names, max_size=12))
def test_v3_a_log_is_found_if_and_only_if_a_step_of_it_is_illegal(steps):
    legal = all(
        (before in LEGAL_AFTER[name]) if before else name is E.CREATED
        for before, name in zip([None, *steps], steps, strict=False)
    )
    contents = [n for n in steps if n is E.CONTENT_RESOLVED]
    content_first = all(
        E.CONTENT_RESOLVED in steps[:i] for i, n in enumerate(steps) if n is E.QUEUED
    )
    legal = legal and len(contents) <= 1 and content_first

    found = {rule for rule, _ in shape_of(tuple(map(str, steps))).findings}

    assert ("V3" in found) is not legal
    assert legal is not bool(found)


def test_a_result_that_was_sent_is_clear():
    verdict = judge(case_of(log_of(SENT)), TERMS)

    assert verdict.findings == []
    assert verdict.bucket is Bucket.DELIVERED


def test_v2_two_final_events_are_found():
    events = log_of([*SENT, E.CANCELLED])

    assert "V2" in rules(judge(case_of(events), TERMS))


def test_v2_a_replay_opens_it_again_and_is_no_second_final_state():
    again = [E.CREATED, E.UNDELIVERABLE, E.REPLAYED, E.CONTENT_RESOLVED, *SENT[2:]]

    assert judge(case_of(log_of(again)), TERMS).findings == []


def test_v2_nothing_may_be_pending_where_all_is_settled():
    settled = Terms(now=TERMS.now, lease=TERMS.lease, settled=True)

    assert rules(judge(case_of(log_of(SENT[:2])), settled)) == {"V2"}


def test_v3_engagement_needs_an_attempt():
    opened = {
        "_id": unnumbered_event_id(RESULT, "OPENED", ""),
        "event": "OPENED",
        "created_at": T0,
        "client_id": CLIENT,
    }

    assert judge(case_of([*log_of(SENT), opened]), TERMS).opened
    assert rules(judge(case_of([*log_of(SENT[:3]), opened]), TERMS)) == {"V3"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "queued"),
        ("attempt", 2),
        ("lost", 1),
        ("has_content", False),
        ("priority", 2),
        ("lane", "high"),
        ("send_at", T0),
        ("expires_at", T0),
        ("partition", 65),
        ("seq", 6),
    ],
)
def test_v4_any_field_that_differs_from_the_log_is_found(field, value):
    events = log_of(SENT)

    verdict = judge(case_of(events, result_of(events, **{field: value})), TERMS)

    assert rules(verdict) == {"V4"}
    assert not verdict.late


def test_v4_a_lease_may_be_renewed_but_never_shortened():
    events = log_of(SENT[:4])
    due_at = fold_of(events).due_at

    renewed = result_of(events, due_at=due_at + timedelta(seconds=20))
    shortened = result_of(events, due_at=due_at - timedelta(seconds=1))

    assert differences(fold_of(events), renewed) == []
    assert len(differences(fold_of(events), shortened)) == 1


def test_v4_a_result_behind_its_log_is_late_only_where_a_scan_will_meet_it():
    events = log_of(SENT)
    waits = result_of(events[:3])
    far = log_of(SENT[:3], {3: {"due_at": T0 + timedelta(days=1)}})
    asleep = [*far, *events[3:]]

    late = judge(case_of(events, waits), TERMS)
    lost = judge(case_of(asleep, result_of(far)), TERMS)

    assert late.late
    assert late.findings == []
    assert rules(lost) == {"V4"}


def test_v4_a_missing_number_is_found():
    events = log_of(SENT)

    verdict = judge(case_of([*events[:1], *events[2:]], result_of(events)), TERMS)

    assert ("V4", "Number 2 is missing in its log.") in verdict.findings


def test_v4_a_log_of_created_alone_was_never_accepted():
    events = log_of([E.CREATED])
    case = Case(result_id=RESULT, events=events, result=None)

    verdict = judge(case, TERMS)

    assert verdict.never_accepted
    assert verdict.findings == []
    assert verdict.bucket is None


def test_v4_a_longer_log_without_a_result_is_found():
    case = Case(result_id=RESULT, events=log_of(SENT[:2]), result=None)

    assert rules(judge(case, TERMS)) == {"V4"}


def test_v6_attempts_that_do_not_count_up_are_found():
    events = log_of(SENT, {4: {"attempt": 2}})

    assert "V6" in rules(judge(case_of(events, result_of(events)), TERMS))


def test_v6_a_second_outcome_of_an_attempt_is_found():
    events = log_of([*SENT[:4], E.DELIVERY_FAILED, E.DELIVERY_FAILED])

    assert "V6" in rules(judge(case_of(events), TERMS))


FAILED = [*SENT[:4], E.DELIVERY_FAILED]
TWICE = [*FAILED, E.QUEUED, E.DELIVERY_ATTEMPTED, E.DELIVERY_SUCCEEDED]
UNKNOWN = {5: {"outcome": "unknown", "reason": "unknown"}}


@pytest.mark.parametrize(
    ("steps", "metadata", "taken", "found"),
    [
        (SENT, {}, 1, set()),
        (SENT, {}, 0, {"V7"}),
        (SENT, {}, 2, {"V8"}),
        (SENT[:4], {}, 1, set()),
        (SENT[:4], {}, 0, set()),
        (SENT[:2], {}, 1, {"V7"}),
        (FAILED, {}, 1, {"V7"}),
        (FAILED, UNKNOWN, 1, set()),
        (FAILED, UNKNOWN, 2, {"V8"}),
        (TWICE, UNKNOWN, 2, set()),
        (TWICE, UNKNOWN, 3, {"V8"}),
        (TWICE, {}, 2, {"V8"}),
        ([E.CREATED, E.CANCELLED], {}, 1, {"V9"}),
        ([E.CREATED, E.SUPPRESSED], {}, 1, {"V9"}),
        ([*FAILED, E.CANCELLED], UNKNOWN, 1, set()),
    ],
)
def test_v7_v8_v9_the_ledger_must_be_explained_by_the_attempts(steps, metadata, taken, found):
    case = case_of(log_of(steps, metadata), ledger=[address_mark("Ada@Example.org")] * taken)

    verdict = judge(case, TERMS)

    assert rules(verdict) == found
    assert verdict.doubles == max(taken - 1, 0)


def test_v8_a_copy_to_another_address_is_no_double():
    case = case_of(log_of(SENT), ledger=[address_mark(ADDRESS), address_mark("cc@example.org")])

    assert judge(case, TERMS).findings == []


def test_v7_what_was_delivered_after_the_ledger_was_written_need_not_be_in_it():
    before = Terms(now=TERMS.now, lease=TERMS.lease, ledger_until=T0)

    assert judge(case_of(log_of(SENT), ledger=[]), before).findings == []


@pytest.mark.parametrize("stop", [E.CANCELLED, E.SUPPRESSED])
def test_v9_an_attempt_after_a_stop_is_found(stop):
    events = log_of([*SENT[:3], stop, E.DELIVERY_ATTEMPTED])

    assert "V9" in rules(judge(case_of(events), TERMS))


def test_v10_an_epoch_that_falls_is_found():
    events = log_of([*SENT[:3], E.QUEUED], {3: {"epoch": 4}, 4: {"epoch": 3}})

    verdict = judge(case_of(events), TERMS)

    assert rules(verdict) == {"V10"}
    assert verdict.epoch == 4


@pytest.mark.parametrize("kin", ["request", "recipient", "communication"])
def test_v12_kin_of_another_client_is_found(kin):
    right = case_of(log_of(SENT))
    foreign = dict(getattr(right, kin)) | {"client_id": OTHER}

    assert rules(judge(case_of(log_of(SENT), **{kin: foreign}), TERMS)) == {"V12"}


def test_v12_content_for_another_address_is_found():
    content = {"client_id": CLIENT, "request_id": RESULT, "to": ["bob@example.org", ""]}

    assert rules(judge(case_of(log_of(SENT), communication=content), TERMS)) == {"V12"}


def test_v13_what_is_due_for_two_leases_is_overdue():
    case = case_of(log_of(SENT[:3], {3: {"due_at": T0}}))

    assert not judge(case, Terms(now=T0 + timedelta(seconds=119), lease=TERMS.lease)).overdue
    assert judge(case, Terms(now=T0 + timedelta(seconds=121), lease=TERMS.lease)).overdue


@pytest.mark.parametrize(
    ("status", "attempt", "bucket"),
    [
        (Status.SCHEDULED, 0, Bucket.SCHEDULED),
        (Status.SENDING, 1, Bucket.IN_FLIGHT),
        (Status.SCHEDULED, 1, Bucket.RETRYING),
    ],
)
def test_every_status_has_its_place_in_the_books(status, attempt, bucket):
    assert bucket_of(status, attempt) is bucket


def test_v5_books_are_even_when_both_sides_are():
    books = Books()
    for bucket in Bucket:
        books.accept((CLIENT, "spring"))
        books.account((CLIENT, "spring"), bucket)
    books.engage((CLIENT, "spring"), opened=True, clicked=False)

    balance = books.by_client()[CLIENT]

    assert balance.accepted == balance.accounted == len(Bucket)
    assert (balance.pending, balance.opened, balance.clicked) == (4, 1, 0)
    assert books.violations() == []


def test_v5_a_loss_in_one_client_is_not_evened_out_by_another():
    books = Books()
    books.accept((CLIENT, None))
    books.account((OTHER, None), Bucket.DELIVERED)

    assert [v.rule for v in books.violations()] == ["V5", "V5"]
    assert sum(books.by_client().values(), Balance()).is_even


def test_v5_a_campaign_must_balance_by_itself():
    books = Books()
    books.accept((CLIENT, "spring"))
    books.account((CLIENT, "summer"), Bucket.DELIVERED)

    whose = [v.sentence.split(" do not")[0].rpartition(" ")[2] for v in books.violations()]
    assert whose == ["spring", "summer"]
