from hypothesis import given

from cdp.domain.event import WORKER_LOST, Event, EventName, fold
from cdp.domain.failure import (
    REASONS,
    ErrorClass,
    Failure,
    Origin,
    error_class_of,
    failed,
    failure_document,
    given_up,
)
from cdp.domain.failure_report import failures_of
from cdp.domain.ids import ResultId, event_id
from cdp.domain.retry import PROVIDER_FAILURES, REPEATABLE, UNKNOWN
from cdp.ports.provider import FailureClass
from cdp.ports.renderer import RenderFault
from cdp.storage.codec import failure_of
from tests.unit.domain.items import START
from tests.unit.domain.test_event import logs

E = EventName
RESULT = ResultId(bytes(16))
BUSY = {"reason": "transient", "code": "451 4.3.0"}


def event_of(number, name, moment, metadata):
    return Event(
        id=event_id(RESULT, number),
        name=name,
        at=moment,
        client_id=bytes(16),
        writer="t",
        metadata=metadata,
    )


def test_what_a_provider_may_answer_is_exactly_what_the_table_has_of_providers():
    of_providers = {word for word, row in REASONS.items() if row.origin is Origin.PROVIDER}

    assert of_providers == {*FailureClass, UNKNOWN}
    assert of_providers >= REPEATABLE | PROVIDER_FAILURES


def test_every_fault_of_a_template_is_a_reason():
    assert set(RenderFault) <= {w for w, r in REASONS.items() if r.origin is Origin.CONTENT}


def test_spent_attempts_are_of_the_class_of_the_last_failure():
    for reason, error_class in (("transient", "transient"), ("config", "config")):
        before = failed({"reason": reason, "code": "x"}, "smtp")
        after = given_up({"reason": "attempts_spent"}, before)
        assert after.error_class == error_class
        assert (after.reason, after.code, after.provider) == ("attempts_spent", "x", "smtp")


def test_what_had_no_content_has_neither_code_nor_provider():
    before = failed(BUSY, "smtp")

    assert given_up({"reason": "template_missing"}, before) == Failure(
        reason="template_missing", error_class=ErrorClass.CONFIG
    )


def test_a_reason_of_another_version_is_for_people_to_see():
    assert error_class_of("strange") is ErrorClass.PERMANENT
    assert error_class_of("strange", failed(BUSY, None)) is ErrorClass.TRANSIENT


def test_a_failure_is_read_as_it_was_stored():
    for provider, metadata in ((None, {}), ("smtp", BUSY)):
        failure = failed(metadata, provider)
        assert failure_of({"failure": failure_document(failure)}) == failure
    assert failure_document(None) is None


@given(events=logs())
def test_a_result_has_a_failure_if_something_went_wrong_since_it_was_last_mended(events):
    wrong = [
        name
        for name, _, _ in events
        if name in (E.DELIVERY_FAILED, E.UNDELIVERABLE, E.DELIVERY_SUCCEEDED, E.REPLAYED)
    ]

    assert (fold(events).failure is not None) == (
        bool(wrong) and wrong[-1] in (E.DELIVERY_FAILED, E.UNDELIVERABLE)
    )


@given(events=logs())
def test_a_replay_counts_attempts_from_where_it_stands_and_forgets_what_was(events):
    names = [name for name, _, _ in events]
    replays = [index for index, name in enumerate(names) if name is E.REPLAYED]
    until = replays[-1] if replays else 0

    state = fold(events)

    assert state.replayed_after == names[:until].count(E.DELIVERY_ATTEMPTED)
    since = fold(events[until:])
    assert (state.lost, state.failed_by) == (since.lost, since.failed_by)


def test_lost_workers_before_a_replay_make_no_poison_after_it():
    lost = (E.DELIVERY_FAILED, START, {"reason": "unknown", "code": WORKER_LOST})

    assert fold([lost, lost, (E.UNDELIVERABLE, START, {}), (E.REPLAYED, START, {})]).lost == 0


@given(events=logs())
def test_each_failure_of_a_log_is_reported_where_it_stands(events):
    log = [event_of(number, *each) for number, each in enumerate(events, start=1)]

    reports = failures_of(log)

    wrong = [e for e in log if e.name in (E.DELIVERY_FAILED, E.UNDELIVERABLE)]
    assert list(reports) == [event.id for event in wrong]
    if wrong and wrong[-1] is log[-1]:
        assert reports[log[-1].id].failure == fold(events).failure


def test_who_was_given_up_is_told_the_providers_last_words():
    steps = [
        (E.DELIVERY_ATTEMPTED, {"provider": "smtp"}),
        (E.DELIVERY_FAILED, {**BUSY, "answer": "Later, please"}),
        (E.UNDELIVERABLE, {"reason": "attempts_spent"}),
        (E.REPLAYED, {}),
        (E.UNDELIVERABLE, {"reason": "template_missing", "detail": "welcome"}),
    ]
    log = [event_of(n, name, START, said) for n, (name, said) in enumerate(steps, start=1)]

    reports = list(failures_of(log).values())

    assert [(r.failure.reason, r.failure.provider, r.detail) for r in reports] == [
        ("transient", "smtp", "Later, please"),
        ("attempts_spent", "smtp", "Later, please"),
        ("template_missing", None, "welcome"),
    ]
