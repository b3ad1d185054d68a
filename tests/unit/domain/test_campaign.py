"""Which state of a campaign may follow which, and what each means for its communications."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.campaign import (
    DONE_ALREADY,
    ENDED,
    HELD_UNTIL,
    OPEN,
    TRANSITIONS,
    AutomaticPause,
    Campaign,
    CampaignAct,
    CampaignRoster,
    CampaignSettings,
    CampaignState,
    Reached,
    Standing,
    after,
    held_until,
    not_yet_applied,
    reason_to_pause,
    released,
    share_of,
    slot_of,
)
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Status
from cdp.domain.ids import ClientId, Partition, RequestId, ResultId
from cdp.domain.lane import Priority
from cdp.errors import Conflict

S, A = CampaignState, CampaignAct
CLIENT = ClientId(b"c" * 16)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def campaign(**fields) -> Campaign:
    return Campaign(client_id=CLIENT, name="spring", created_at=NOW, updated_at=NOW, **fields)


def changed(before: Campaign, act: CampaignAct, *, at: datetime) -> Campaign:
    """After an act that changes something."""
    now = after(before, act, at=at)
    assert now is not None
    return now


def item(number=1, **fields) -> WorkItem:
    result_id = ResultId(number.to_bytes(16, "big"))
    given: dict[str, Any] = {
        "campaign": "spring", "status": Status.ACCEPTED, "seq": 1, "due_at": NOW,
        "priority": Priority.NORMAL,
    }  # fmt: skip
    return WorkItem(
        result_id=result_id,
        request_id=RequestId(result_id),
        client_id=CLIENT,
        channel="email",
        partition=Partition(0),
        lane="email.default",
        **(given | fields),
    )


@given(
    acts=st.lists(st.sampled_from(list(A)), max_size=30), start_in_h=st.none() | st.integers(-5, 5)
)
def test_every_way_through_the_states_keeps_the_table(acts, start_in_h):
    start_at = None if start_in_h is None else NOW + start_in_h * HOUR
    now, one = NOW, campaign(settings=CampaignSettings(start_at=start_at))

    for act in acts:
        now += HOUR / 2
        before = one
        try:
            changed = after(before, act, at=now)
        except Conflict:
            allowed = TRANSITIONS[act].get(before.state)
            assert allowed is None or (act is A.FINISH and not before.is_closed)
            continue
        if changed is None:
            assert before.state in DONE_ALREADY[act] or (act is A.CLOSE and before.is_closed)
            continue
        assert changed.state in TRANSITIONS[act][before.state]
        assert changed.version == before.version + 1
        one = changed

        # What is over stays over, and whoever is closed stays closed.
        assert before.state in OPEN
        assert changed.is_closed >= before.is_closed
        assert (changed.ended_at is not None) == (changed.state in ENDED)
        assert (changed.paused_at is not None) == (changed.state is S.PAUSED)
        assert (changed.pause_reason is not None) == (changed.state is S.PAUSED)
        if changed.state is S.RUNNING:
            assert changed.started_at is not None
            assert changed.spread_from is not None
            assert changed.started_at <= changed.spread_from <= now
        if changed.state is S.SCHEDULED:
            assert changed.started_at is None
            assert start_at is not None
        assert changed.takes_requests == (changed.state in OPEN and not changed.is_closed)


@pytest.mark.parametrize("act", list(A))
def test_an_act_that_was_done_changes_nothing(act):
    for state in DONE_ALREADY[act]:
        assert after(campaign(state=state, is_closed=True), act, at=NOW) is None


@pytest.mark.parametrize(
    ("state", "act", "words"),
    [
        (S.PAUSED, A.START, "is paused: resume it"),
        (S.DRAFT, A.PAUSE, "is draft: start it"),
        (S.CANCELLED, A.CLOSE, "is cancelled"),
        (S.FINISHED, A.CANCEL, "is finished"),
        (S.RUNNING, A.FINISH, "is running"),
    ],
)
def test_a_refusal_says_what_stands_in_the_way(state, act, words):
    with pytest.raises(Conflict, match=words):
        after(campaign(state=state), act, at=NOW)


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        (S.DRAFT, Standing.HELD),
        (S.SCHEDULED, Standing.HELD),
        (S.PAUSED, Standing.HELD),
        (S.RUNNING, Standing.GO),
        (S.FINISHED, Standing.GO),
        (S.CANCELLED, Standing.CANCELLED),
    ],
)
def test_each_state_means_something_for_its_communications(state, standing):
    roster = CampaignRoster()
    roster.take([campaign(state=state)])

    assert roster.standing(item()) is standing
    assert roster.standing(item(campaign=None)) is Standing.GO
    assert roster.standing(item(campaign="autumn")) is Standing.GO
    roster.take([campaign(state=state, is_deleted=True)])
    assert roster.standing(item()) is Standing.GO
    roster.take([campaign(state=state, is_settled=True)])
    assert (roster.all(), roster.standing(item())) == ([], Standing.GO)


def test_what_was_held_of_a_campaign_that_goes_on_is_told_once():
    roster = CampaignRoster()
    roster.take([campaign(state=S.PAUSED)])
    roster.note_held([item()])
    assert roster.take_missed() == set()

    roster.take([campaign(state=S.RUNNING)])
    roster.note_held([item(), item(campaign=None)])

    assert roster.take_missed() == {(CLIENT, "spring")}
    assert roster.take_missed() == set()


def test_places_are_spread_evenly_over_the_window():
    one = campaign(state=S.RUNNING, spread_from=NOW, settings=CampaignSettings(spread_s=3_600))
    just_before = NOW - timedelta(seconds=1)

    slots = [slot_of(one, item(n), just_before) for n in range(10_000)]

    assert all(slot is not None and NOW <= slot < NOW + HOUR for slot in slots)
    tenths = [int((slot - NOW) / HOUR * 10) for slot in slots if slot is not None]
    # Of 10,000 each tenth has 1,000, give or take five times what chance gives.
    assert all(850 < tenths.count(tenth) < 1_150 for tenth in range(10))


@given(
    number=st.integers(0, 2**128 - 1), spread_s=st.integers(1, 10**6), now_s=st.integers(-10, 10**6)
)
def test_a_place_is_always_the_same_and_never_past(number, spread_s, now_s):
    one = campaign(state=S.RUNNING, spread_from=NOW, settings=CampaignSettings(spread_s=spread_s))
    now, mine = NOW + timedelta(seconds=now_s), item(number)

    slot = slot_of(one, mine, now)

    assert 0 <= share_of(mine.result_id) < 1
    if slot is not None:
        assert now < slot <= NOW + timedelta(seconds=spread_s)
        assert slot_of(one, mine, slot) is None
        assert slot.microsecond % 1_000 == 0


def test_neither_a_retry_nor_what_would_expire_before_is_spread():
    one = campaign(state=S.RUNNING, spread_from=NOW, settings=CampaignSettings(spread_s=3_600))

    assert slot_of(one, item(), NOW) is not None
    assert slot_of(one, item(attempt=1), NOW) is None
    assert slot_of(one, item(expires_at=NOW + timedelta(milliseconds=1)), NOW) is None


def test_a_pause_moves_what_is_left_of_the_spreading():
    draft = campaign(settings=CampaignSettings(spread_s=3_600))
    running = changed(draft, A.START, at=NOW)
    paused = changed(running, A.PAUSE, at=NOW + HOUR / 4)
    resumed = changed(paused, A.RESUME, at=NOW + 5 * HOUR)

    assert running.spread_from == NOW
    assert resumed.spread_from == NOW + 5 * HOUR - HOUR / 4


def test_what_is_held_waits_for_its_expiry_alone():
    assert held_until(item()) == HELD_UNTIL
    assert held_until(item(expires_at=NOW + HOUR)) == NOW + HOUR


def test_what_is_let_go_goes_now_or_at_its_time():
    one = campaign(state=S.RUNNING, spread_from=NOW)
    later = NOW + 3 * HOUR

    assert released(one, item(), NOW) == ("campaign_started", NOW)
    assert released(one, item(send_at=later), NOW) == ("campaign_started", later)
    assert released(one, item(send_at=NOW - HOUR), NOW) == ("campaign_started", NOW)
    again = campaign(state=S.RUNNING, resumed_at=NOW)
    assert released(again, item(), NOW) == ("campaign_resumed", NOW)
    gone = campaign(is_deleted=True)
    assert released(gone, item(), NOW) == ("campaign_deleted", NOW)


@given(
    delivered=st.integers(0, 10**6),
    bounced=st.integers(0, 10**6),
    complained=st.integers(0, 10**6),
    rate=st.floats(0.0001, 1),
    least=st.integers(1, 10**6),
)
def test_a_rate_pauses_exactly_from_its_limit_on(delivered, bounced, complained, rate, least):
    rule = AutomaticPause(bounce_rate=rate, complaint_rate=rate, results_min=least)
    reached = Reached(delivered=delivered, bounced=bounced, complained=complained)
    results = delivered + bounced

    reason = reason_to_pause(rule, reached)

    too_many = [
        name
        for name, count in (("bounce_rate", bounced), ("complaint_rate", complained))
        if results >= least and count >= rate * results
    ]
    assert reason == (too_many[0] if too_many else None)
    assert reason_to_pause(AutomaticPause(results_min=1), reached) is None


def test_after_a_pause_for_a_rate_only_what_came_since_is_judged():
    before = Reached(delivered=90, bounced=10, complained=1)

    assert Reached(delivered=100, bounced=11, complained=1).since(before) == Reached(
        delivered=10, bounced=1
    )


def test_who_has_not_applied_a_change_is_named():
    reports: list[dict[str, object]] = [
        {"name": "queue-shard-0", "campaign_epoch": 7},
        {"name": "queue-shard-1", "campaign_epoch": 6},
        {"name": "scheduler"},
    ]

    assert not_yet_applied(reports, 7) == ["queue-shard-1"]
    assert not_yet_applied(reports, 6) == []
