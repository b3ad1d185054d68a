import pickle
from dataclasses import MISSING, fields, replace

import pytest
from hypothesis import given

from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import FINAL_STATUSES, Fold, Status, fold, step_fold
from cdp.domain.failure import ErrorClass, Failure
from cdp.domain.lane import CHANNEL_NAMES, LANES, Priority, channel_of, is_urgent, lane_of, lanes_of
from tests.unit.domain.items import START, item
from tests.unit.domain.test_event import logs

EMAIL_HIGH, EMAIL = lanes_of("email")


@given(events=logs())
def test_an_item_moved_step_by_step_is_what_its_whole_log_folds_to(events):
    stepped = born = item(1, seq=0)
    state = Fold()

    for name, moment, metadata in events:
        stepped = stepped.after(name, moment, metadata)
        state = step_fold(state, name, moment, metadata)
        assert stepped.seq == state.seq
        assert stepped.status == state.status
        assert stepped.due_at == (state.due_at or stepped.due_at)

    whole = born.folded(fold(events))
    # What is final is due no more; the item keeps the last time that it had.
    assert replace(stepped, due_at=START) == replace(whole, due_at=START)
    assert whole.is_final or stepped.due_at == whole.due_at


@pytest.mark.parametrize("status", list(Status))
def test_an_item_is_final_exactly_in_the_final_statuses(status):
    assert item(1, status=status).is_final == (status in FINAL_STATUSES)


def test_every_channel_has_lanes_of_its_own_and_one_is_for_what_is_urgent():
    assert lane_of("email", Priority.HIGH) == EMAIL_HIGH
    assert lane_of("email", Priority.NORMAL) == lane_of("email", Priority.LOW) == EMAIL
    lanes = [lane_of(channel, priority) for channel in CHANNEL_NAMES for priority in Priority]
    assert set(lanes) == set(LANES)
    assert {channel_of(lane) for lane in lanes} == set(CHANNEL_NAMES)
    assert [lane for lane in LANES if is_urgent(lane)] == [f"{name}.high" for name in CHANNEL_NAMES]


def test_a_change_of_priority_changes_the_lane():
    changed = item(1, priority=Priority.LOW).folded(Fold(seq=2, priority=0, due_at=START))

    assert changed.priority is Priority.HIGH
    assert changed.lane == EMAIL_HIGH


def test_a_log_that_names_no_priority_leaves_the_items_own():
    assert item(1, priority=Priority.LOW).folded(Fold(seq=2)).priority is Priority.LOW


def test_priorities_are_written_in_small_letters():
    assert [priority.word for priority in Priority] == ["high", "normal", "low"]


def test_an_item_travels_with_all_that_it_has():
    everything = item(
        attempt=2, lost=1, has_content=True, send_at=START, expires_at=START, reason="retry",
        seq=7, status=Status.SCHEDULED, priority=Priority.HIGH, campaign="spring", segment="vip",
        provider="first", failed_by="first", replayed_after=1, timezone="Asia/Tokyo",
        failure=Failure(reason="address", error_class=ErrorClass.PERMANENT, code="550 5.1.1"),
    )  # fmt: skip
    defaults = {f.name: f.default for f in fields(WorkItem) if f.default is not MISSING}
    assert all(getattr(everything, name) != default for name, default in defaults.items())

    arrived = pickle.loads(pickle.dumps(everything))

    assert arrived == everything
    assert (type(arrived.priority), type(arrived.status)) == (Priority, Status)
