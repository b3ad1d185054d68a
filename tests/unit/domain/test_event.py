from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.event import (
    CLOSING,
    FINAL,
    FINAL_STATUSES,
    LEGAL_AFTER,
    STATUS_AFTER,
    UNNUMBERED,
    WORKER_LOST,
    EventName,
    Fold,
    Status,
    Step,
    fold,
    is_legal,
    step_fold,
)
from cdp.domain.ids import ResultId, event_id
from tests.unit.domain.items import START, at, client

E = EventName


@st.composite
def logs(draw, length_max=25):
    """A log that keeps to the rules: name, time and metadata of each event."""
    state, events = Fold(), []
    for number in range(draw(st.integers(1, length_max))):
        names = [name for name in LEGAL_AFTER if is_legal(state, name)]
        if not names:
            break
        name = draw(st.sampled_from(names))
        metadata = draw(metadata_of(name))
        moment = at(number)
        events.append((name, moment, metadata))
        state = step_fold(state, name, moment, metadata)
    return events


times = st.integers(0, 1000).map(at)


@st.composite
def metadata_of(draw, name):
    """What an event of this name may say."""
    if name is E.CREATED:
        return draw(
            st.fixed_dictionaries(
                {"priority": st.integers(0, 2)}, optional={"send_at": times, "expires_at": times}
            )
        )
    if name is E.SCHEDULED:
        changes = {
            "send_at": st.none() | times,
            "expires_at": st.none() | times,
            "priority": st.integers(0, 2),
        }
        return draw(
            st.fixed_dictionaries({"reason": st.just("retry"), "due_at": times}, optional=changes)
        )
    if name is E.DELIVERY_FAILED:
        return draw(st.sampled_from([{"code": WORKER_LOST, "reason": "unknown"}, {"code": "451"}]))
    if name in (E.QUEUED, E.DELIVERY_ATTEMPTED):
        return draw(st.fixed_dictionaries({"due_at": times}))
    return {}


def test_every_name_is_numbered_or_not_and_every_numbered_one_has_a_status():
    assert LEGAL_AFTER.keys() | UNNUMBERED == set(E)
    assert LEGAL_AFTER.keys() == STATUS_AFTER.keys()


def test_nothing_but_created_begins_a_log():
    beginnings = {name for name in LEGAL_AFTER if is_legal(Fold(), name)}

    assert beginnings == {E.CREATED}


@pytest.mark.parametrize("name", sorted(FINAL - {E.UNDELIVERABLE}))
def test_after_a_final_event_nothing_may_come(name):
    state = Fold(seq=5, last=name, has_content=True)

    assert not [later for later in LEGAL_AFTER if is_legal(state, later)]


def test_only_a_replay_opens_what_was_undeliverable():
    state = Fold(seq=5, last=E.UNDELIVERABLE, has_content=True)

    assert [later for later in LEGAL_AFTER if is_legal(state, later)] == [E.REPLAYED]


@pytest.mark.parametrize("name", sorted(CLOSING))
def test_what_is_being_attempted_cannot_be_closed_before_its_outcome(name):
    assert not is_legal(Fold(seq=4, last=E.DELIVERY_ATTEMPTED, has_content=True), name)


def test_content_is_resolved_once():
    assert is_legal(Fold(seq=1, last=E.CREATED), E.CONTENT_RESOLVED)
    assert not is_legal(Fold(seq=3, last=E.SCHEDULED, has_content=True), E.CONTENT_RESOLVED)


def test_what_has_no_content_is_not_queued():
    assert not is_legal(Fold(seq=2, last=E.SCHEDULED), E.QUEUED)
    assert is_legal(Fold(seq=3, last=E.SCHEDULED, has_content=True), E.QUEUED)


@given(events=logs())
def test_a_legal_log_has_at_most_one_final_event_between_replays(events):
    state = Fold()

    for name, moment, metadata in events:
        assert state.last not in FINAL or name is E.REPLAYED
        state = step_fold(state, name, moment, metadata)


@given(events=logs())
def test_the_fold_counts_events_attempts_and_lost_workers(events):
    state = fold(events)

    names = [name for name, _, _ in events]
    assert state.seq == len(events)
    assert state.attempt == names.count(E.DELIVERY_ATTEMPTED)
    assert state.has_content == (E.CONTENT_RESOLVED in names)
    assert state.status == STATUS_AFTER[names[-1]]
    assert state.since == events[-1][1]
    assert state.lost <= state.attempt


@given(events=logs())
def test_only_what_is_final_is_due_no_more(events):
    state = fold(events)

    assert (state.due_at is None) == (state.status in FINAL_STATUSES)


@given(events=logs())
def test_the_latest_word_on_send_at_expiry_and_priority_counts(events):
    state = fold(events)

    for field in ("send_at", "expires_at", "priority"):
        said = [metadata[field] for _, _, metadata in events if field in metadata]
        assert getattr(state, field) == (said[-1] if said else None)


def test_lost_workers_count_in_a_row():
    lost = (E.DELIVERY_FAILED, START, {"code": WORKER_LOST})
    refused = (E.DELIVERY_FAILED, START, {"code": "451"})

    assert fold([lost, lost]).lost == 2
    assert fold([lost, refused]).lost == 0
    assert fold([lost, refused, lost]).lost == 1


def test_what_says_no_due_time_is_due_at_once():
    assert fold([(E.CREATED, START, {})]).due_at == START
    later = START + timedelta(hours=1)
    assert fold([(E.SCHEDULED, START, {"due_at": later})]).due_at == later


def test_a_step_competes_for_the_one_id_of_its_number():
    result_id = ResultId(bytes(16))

    step = Step(result_id=result_id, number=3, name=E.QUEUED, client_id=client(1))

    assert step.event_id == event_id(result_id, 3)


def test_an_empty_log_is_a_result_that_was_only_accepted():
    assert fold([]) == Fold()
    assert Fold().status is Status.ACCEPTED
