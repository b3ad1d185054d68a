from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.breaker import PROBE, Breaker


def opened(at_s=0.0):
    breaker = Breaker()
    for _ in range(breaker.threshold):
        breaker.note(True, now=at_s)
    return breaker


def test_closed_it_lets_everything_through():
    breaker = Breaker()

    assert breaker.state == "closed"
    assert breaker.allows(1000, now=0.0) == 1000


def test_a_row_of_troubles_opens_it():
    breaker = Breaker()
    for _ in range(breaker.threshold - 1):
        breaker.note(True, now=0.0)
    assert breaker.state == "closed"

    breaker.note(True, now=0.0)

    assert breaker.state == "open"
    assert breaker.allows(1000, now=breaker.open_s - 0.1) == 0


def test_one_success_starts_the_row_anew():
    breaker = Breaker()
    for trouble in [True, True, True, True, False, True, True, True, True]:
        breaker.note(trouble, now=0.0)

    assert breaker.state == "closed"


def test_after_its_time_it_lets_one_small_probe_through():
    breaker = opened()

    assert breaker.allows(1000, now=breaker.open_s) == PROBE
    assert breaker.state == "half-open"
    assert breaker.allows(1000, now=breaker.open_s + 1) == 0


def test_a_probe_that_succeeds_closes_it():
    breaker = opened()
    breaker.allows(1, now=breaker.open_s)

    breaker.note(False, now=breaker.open_s)

    assert breaker.state == "closed"
    assert breaker.allows(5, now=breaker.open_s) == 5


def test_a_probe_that_fails_opens_it_for_longer():
    breaker = opened()
    breaker.allows(1, now=2.0)

    breaker.note(True, now=2.0)

    assert breaker.state == "open"
    assert breaker.allows(1, now=2.0 + breaker.open_s) == 0
    assert breaker.allows(1, now=2.0 + 2 * breaker.open_s) == 1


def test_troubles_that_come_in_late_do_not_hold_it_open():
    breaker = opened()

    for _ in range(100):
        breaker.note(True, now=1.9)

    assert breaker.allows(1, now=breaker.open_s) == 1


def test_a_probe_that_is_never_answered_is_followed_by_another():
    breaker = opened()
    breaker.allows(1, now=2.0)

    assert breaker.allows(1, now=2.0 + breaker.open_max_s) == 1


@given(fails=st.integers(0, 40))
def test_it_is_never_open_for_longer_than_its_bound(fails):
    breaker, now = opened(), 0.0
    for _ in range(fails):
        now += breaker.open_max_s
        assert breaker.allows(9, now=now) == PROBE
        breaker.note(True, now=now)

    assert breaker.allows(9, now=now + breaker.open_max_s) == PROBE


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["ask", "ok", "trouble"]), st.floats(0, 5)), max_size=60
    )
)
def test_a_success_always_closes_and_nobody_gets_more_than_wanted(steps):
    breaker, now = Breaker(), 0.0
    for what, passed in steps:
        now += passed
        if what == "ask":
            assert 0 <= breaker.allows(7, now=now) <= 7
        else:
            breaker.note(what == "trouble", now=now)
        if what == "ok":
            assert breaker.state == "closed"
