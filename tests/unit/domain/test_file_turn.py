from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.file_turn import GOING_BACK, PAUSE_CAP_S, TURN_S, pause_s, turn_s


@given(
    packed=st.floats(0, 10, exclude_min=True),
    turns=st.integers(1, 300),
)
def test_the_way_back_is_a_fifth_of_the_work_at_most_however_often_a_file_is_put_back(
    packed, turns
):
    """`packed` is how long a second's work of rows takes to be decompressed."""
    done_s = back_s = 0.0
    for _ in range(turns):
        way_back_s = done_s * packed
        back_s += way_back_s
        done_s += turn_s(going_back_s=way_back_s)

    assert back_s <= (back_s + done_s) / (1 + GOING_BACK) * 1.000001


def test_a_plain_files_turn_is_short():
    assert turn_s(going_back_s=0.0) == TURN_S


@given(stops=st.integers(1, 10**6))
def test_each_rest_is_as_long_as_the_one_before_or_longer_and_bounded(stops):
    assert 0 < pause_s(stops=stops) <= pause_s(stops=stops + 1) <= PAUSE_CAP_S
