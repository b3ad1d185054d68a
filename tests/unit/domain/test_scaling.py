import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.scaling import CALM_S, Load, ScaleBounds, needed, target

bounds = st.tuples(st.integers(0, 5), st.integers(0, 20)).map(
    lambda pair: ScaleBounds(least=pair[0], most=pair[0] + pair[1])
)
loads = st.builds(
    Load,
    running=st.integers(0, 40),
    backlog=st.integers(0, 10**7),
    rate_each_per_s=st.just(0.0) | st.floats(0.01, 10_000),
    calm_s=st.floats(0, 1000),
)


@given(load=loads, bounds=bounds)
def test_there_are_never_fewer_or_more_than_the_bounds_say(load, bounds):
    assert bounds.least <= target(load, bounds) <= bounds.most


@given(load=loads, bounds=bounds)
def test_it_goes_up_at_once_and_down_by_one_at_most(load, bounds):
    after = target(load, bounds)

    if load.running <= bounds.most:
        assert after >= load.running - 1
    if needed(load, bounds) > load.running and load.running < bounds.most:
        assert after > load.running


@given(load=loads, bounds=bounds)
def test_without_a_time_of_calm_nothing_is_let_go(load, bounds):
    restless = Load(
        running=min(load.running, bounds.most),
        backlog=load.backlog,
        rate_each_per_s=load.rate_each_per_s,
        calm_s=CALM_S / 2,
    )

    assert target(restless, bounds) >= restless.running


@given(load=loads, bounds=bounds)
def test_a_steady_load_comes_to_rest(load, bounds):
    running = load.running
    for _ in range(60):
        step = Load(
            running=running,
            backlog=load.backlog,
            rate_each_per_s=load.rate_each_per_s,
            calm_s=CALM_S,
        )
        running = target(step, bounds)

    wanted = max(bounds.least, min(bounds.most, needed(load, bounds)))
    assert running == wanted


def test_as_many_are_needed_as_work_the_backlog_off_in_time():
    bounds = ScaleBounds(least=1, most=100, drain_s=60)

    assert needed(Load(running=1, backlog=60_000, rate_each_per_s=100), bounds) == 10
    assert needed(Load(running=1, backlog=60_001, rate_each_per_s=100), bounds) == 11


def test_where_no_rate_is_known_yet_one_a_second_is_assumed():
    bounds = ScaleBounds(least=0, most=100, drain_s=60)

    assert needed(Load(running=0, backlog=120, rate_each_per_s=0), bounds) == 2


def test_no_backlog_needs_the_least_and_any_backlog_needs_one():
    bounds = ScaleBounds(least=0, most=10)

    assert needed(Load(running=3, backlog=0, rate_each_per_s=5), bounds) == 0
    assert needed(Load(running=0, backlog=1, rate_each_per_s=1000), bounds) == 1


def test_bounds_that_cross_cannot_be_made():
    with pytest.raises(AssertionError):
        ScaleBounds(least=3, most=2)
