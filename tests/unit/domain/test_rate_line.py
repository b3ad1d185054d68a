from datetime import UTC, datetime, timedelta

from cdp.domain.rate_line import FRESH_S, RateLines

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def heard(turn_s: float = 60.0, step_s: float = 2.0) -> RateLines:
    lines = RateLines()
    lines.hear("a", turn_at=later(turn_s), step_s=step_s, now=NOW)
    return lines


def test_each_further_one_comes_a_step_later():
    lines = heard()

    assert [lines.turn_of("a", NOW) for _ in range(3)] == [later(62), later(64), later(66)]


def test_of_another_kind_nothing_is_known():
    assert heard().turn_of("b", NOW) is None


def test_what_was_heard_a_while_ago_is_asked_anew():
    lines = heard()

    assert lines.turn_of("a", later(FRESH_S)) is not None
    assert lines.turn_of("a", later(FRESH_S + 0.1)) is None


def test_who_would_wait_but_a_moment_asks():
    assert heard(turn_s=5.0).turn_of("a", NOW) is None


def test_a_time_that_is_earlier_than_the_line_moves_nobody_before_it():
    lines = heard()
    lines.hear("a", turn_at=later(10), step_s=2.0, now=NOW)

    assert lines.turn_of("a", NOW) == later(62)


def test_nobody_is_put_off_for_ever():
    lines = heard(turn_s=10**6)

    assert lines.turn_of("a", NOW) == later(3_600)
