from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.local_hours import LocalHours, SendHours, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def opens(text: str, *, window: str | None = None, quiet: str | None = None):
    hours = SendHours(
        window=None if window is None else LocalHours.read(window),
        quiet=None if quiet is None else LocalHours.read(quiet),
    )
    return hours.opens(at(text), BERLIN)


@pytest.mark.parametrize(
    ("text", "window", "until"),
    [
        ("2026-11-27T12:00", "09:00-20:00", None),
        ("2026-11-27T09:00", "09:00-20:00", None),
        ("2026-11-27T20:00", "09:00-20:00", "2026-11-28T09:00"),
        ("2026-11-27T08:59", "09:00-20:00", "2026-11-27T09:00"),
        ("2026-11-27T20:30", "mon-fri 09:00-20:00", "2026-11-30T09:00"),
        ("2026-11-28T12:00", "sun 09:00-10:00", "2026-11-29T09:00"),
        ("2026-11-28T02:00", "fri 22:00-06:00", None),
        ("2026-11-29T02:00", "fri 22:00-06:00", "2026-12-04T22:00"),
        ("2026-11-27T23:59", "00:00-24:00", None),
        ("2026-11-27T12:00", "sat-mon 09:00-20:00", "2026-11-28T09:00"),
    ],
)
def test_a_window_opens_at_its_hour_of_its_day(text, window, until):
    expected = None if until is None else ("send_window", at(until))

    assert opens(text, window=window) == expected


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2026-11-27T20:59", None),
        ("2026-11-27T21:00", "2026-11-28T08:00"),
        ("2026-11-28T07:59", "2026-11-28T08:00"),
        ("2026-11-28T08:00", None),
    ],
)
def test_quiet_hours_end_when_they_end(text, until):
    expected = None if until is None else ("quiet_hours", at(until))

    assert opens(text, quiet="21:00-08:00") == expected


def test_what_opens_into_quiet_hours_waits_for_their_end():
    assert opens("2026-11-27T23:00", window="06:00-22:00", quiet="21:00-08:00") == (
        "send_window",
        at("2026-11-28T08:00"),
    )


def test_a_clock_that_leaps_over_an_hour_opens_right_after_it():
    """On 2026-03-29 there is no 02:30 in Berlin (RFC 5545, section 3.3.5)."""
    reason, moment = opens("2026-03-29T01:00", window="02:30-05:00") or ("", at("2000-01-01"))

    assert (reason, moment) == ("send_window", datetime(2026, 3, 29, 1, 30, tzinfo=UTC))


def test_an_hour_that_comes_twice_is_open_from_the_first():
    """On 2026-10-25 02:30 comes twice in Berlin."""
    reason, moment = opens("2026-10-25T01:00", window="02:30-05:00") or ("", at("2000-01-01"))

    assert (reason, moment) == ("send_window", datetime(2026, 10, 25, 0, 30, tzinfo=UTC))


def test_quiet_hours_that_leave_nothing_of_the_window_are_found():
    with pytest.raises(ValueError, match="leave nothing"):
        opens("2026-11-27T12:00", window="09:00-10:00", quiet="08:00-11:00")


@pytest.mark.parametrize(
    "text",
    ["9:00-20:00", "09:00-24:01", "24:00-09:00", "09:60-10:00", "09:00-09:00", "09:00",
     "abc 09:00-10:00", "mon- 09:00-10:00", "mon,, 09:00-10:00", "09:00-20:00\n", " 09:00-20:00"],
)  # fmt: skip
def test_what_are_no_hours_is_said(text):
    with pytest.raises(ValueError, match=r"\."):
        LocalHours.read(text)


@pytest.mark.parametrize(
    "name", ["Nowhere/At-All", "../etc/passwd", "", "/etc/localtime", "Europe"]
)
def test_what_is_no_time_zone_is_said(name):
    with pytest.raises(ValueError, match="no time zone"):
        zone_of(name)


minutes = st.integers(0, 24 * 60 - 1)


@given(
    start=minutes,
    end=minutes,
    days=st.frozensets(st.integers(0, 6), min_size=1),
    moment=st.timedeltas(timedelta(), timedelta(days=3_650)).map(lambda age: NOW - age),
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Tokyo"]
    ),
)
def test_when_it_opens_it_is_open_and_it_was_not_before(start, end, days, moment, zone):
    hours = SendHours(window=LocalHours(days=days, start=start, end=end if end != start else 1_440))
    wait = hours.opens(moment, ZoneInfo(zone))

    if wait is not None:
        until = wait[1]
        assert moment < until <= moment + timedelta(days=9)
        assert hours.opens(until, ZoneInfo(zone)) is None
        between = moment + (until - moment) / 2
        assert hours.opens(between, ZoneInfo(zone)) == wait
