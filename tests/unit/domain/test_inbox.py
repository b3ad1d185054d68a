"""Where an entry stands in an inbox."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.ids import ResultId
from cdp.domain.inbox import InboxPosition, moment_of, unix_ms

MOMENTS = st.integers(0, 253_402_300_799_999).map(moment_of)
POSITIONS = st.builds(
    InboxPosition, at=MOMENTS, result_id=st.binary(min_size=16, max_size=16).map(ResultId)
)


@given(position=POSITIONS)
def test_a_position_is_the_same_after_it_was_packed(position):
    assert InboxPosition.unpacked(position.packed()) == position


@given(one=POSITIONS, other=POSITIONS)
def test_packed_positions_sort_as_positions_do(one, other):
    assert (one < other) == (one.packed() < other.packed())


@given(at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_moment_loses_less_than_a_millisecond(at):
    assert timedelta(0) <= at - moment_of(unix_ms(at)) < timedelta(milliseconds=1)
