import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.rate_budget import BURST_S, WAIT_MAX_S, RateBook, RateLimit, Turn, Want

START = 1_800_000_000.0
CLIENT = RateLimit("client", 10.0)
SLOW = RateLimit("domain/slow.example", 1.0)


def book(**spent_to: float) -> RateBook:
    made = RateBook()
    made.learn({"client": 0.0, SLOW.key: 0.0, "other": 0.0} | spent_to)
    return made


def want(count: int, *limits: RateLimit, turn: Turn = Turn.NEW) -> Want:
    return Want(limits=limits or (CLIENT,), count=count, turn=turn)


def test_a_full_budget_gives_a_second_at_once_and_then_its_rate():
    rates = book()

    first = rates.spend(want(25), START)
    assert (first.count, first.step_s) == (10, 0.1)
    assert first.wait_s == pytest.approx(0.1, abs=1e-6)
    assert rates.spend(want(5, turn=Turn.RETURNING), START + 0.1).count == 1
    assert rates.spend(want(5, turn=Turn.RETURNING), START + 0.4).count == 3


def test_what_is_slower_than_one_a_second_gives_one_at_a_time():
    hourly = RateLimit("client", 1 / 600)
    rates = book()

    assert rates.spend(want(2, hourly), START).count == 1
    assert rates.spend(want(1, hourly, turn=Turn.RETURNING), START + 599).count == 0
    assert rates.spend(want(1, hourly, turn=Turn.RETURNING), START + 600).count == 1


def test_who_waits_is_told_a_time_each():
    grant = book().spend(want(13), START)

    assert [round(grant.wait_of(index), 3) for index in range(3)] == [0.1, 0.2, 0.3]


def test_who_comes_new_stands_behind_who_waits():
    rates = book()
    rates.spend(want(30), START)

    later = rates.spend(want(1), START + 1.0)
    back = rates.spend(want(10, turn=Turn.RETURNING), START + 1.0)

    assert later.count == 0
    assert later.wait_s > 0.9
    assert back.count == 10


def test_what_is_urgent_passes_all_that_waits():
    rates = book()
    rates.spend(want(1_000), START)

    assert rates.spend(want(1, turn=Turn.URGENT), START + 0.1).count == 1
    told = rates.spend(want(2, turn=Turn.URGENT), START + 0.1)
    assert told.count == 0
    assert told.wait_of(1) < 0.5
    # And nobody takes its place until then.
    assert rates.spend(want(1, turn=Turn.RETURNING), START + 0.2).count == 0
    assert rates.spend(want(2, turn=Turn.URGENT), START + 0.3).count == 2


def test_nobody_waits_for_those_that_another_budget_keeps():
    rates = book()

    assert rates.spend(want(5, CLIENT, SLOW), START).count == 1
    assert rates.spend(want(9, CLIENT), START).count == 9


def test_a_message_of_several_budgets_spends_of_all_or_none():
    rates = book()
    rates.spend(want(1, SLOW), START)

    assert rates.spend(want(1, CLIENT, SLOW), START).count == 0
    assert rates.spend(want(10, CLIENT), START).count == 10


def test_no_wait_is_longer_than_the_longest():
    grant = book().spend(want(10**6), START)

    assert grant.wait_of(10**6 - 11) == WAIT_MAX_S


def test_a_budget_that_is_idle_is_forgotten_and_one_in_use_is_not():
    rates = book()
    rates.spend(want(10), START)

    rates.forget_idle(START + 0.5)

    assert rates.unknown(["client", SLOW.key]) == {SLOW.key}
    assert len(rates) == 1


calls = st.lists(
    st.tuples(
        st.floats(0, 2.0),
        st.integers(1, 60),
        st.sampled_from([(CLIENT,), (SLOW,), (CLIENT, SLOW)]),
        st.sampled_from(list(Turn)),
    ),
    max_size=60,
)


@given(calls)
def test_in_no_span_of_time_more_go_than_the_rate_and_one_burst(asked):
    rates, now = book(), START
    gone: list[tuple[float, str]] = []
    for pause, count, limits, turn in asked:
        now += pause
        granted = rates.spend(want(count, *limits, turn=turn), now).count
        assert 0 <= granted <= count
        gone += [(now, limit.key) for limit in limits for _ in range(granted)]

    for limit in (CLIENT, SLOW):
        times = [at for at, key in gone if key == limit.key]
        for first, begin in enumerate(times):
            for last in range(first, len(times)):
                span = times[last] - begin
                most = limit.per_s * (span + max(BURST_S, limit.interval_s))
                assert last - first + 1 <= most + 1e-3


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_all_that_come_back_when_they_are_told_to_have_gone_in_time(groups):
    """Each comes back at its time, and nobody is sent away for ever."""
    rates, waiting = book(), [(START, turn) for turn in groups for _ in range(turn)]
    queue = [(START, Turn.NEW) for _ in waiting]
    rounds = 0
    while queue:
        rounds += 1
        assert rounds < 2_000
        queue.sort()
        at, turn = queue.pop(0)
        grant = rates.spend(want(1, turn=turn), at)
        if not grant.count:
            assert grant.wait_s > 0
            queue.append((at + grant.wait_of(0), Turn.RETURNING))
    # The rate of 10 a second, less the burst at the start; a tenth for those that come too early.
    assert at - START <= max(0, sum(groups) - 10) / 10 * 1.1 + 1.0
