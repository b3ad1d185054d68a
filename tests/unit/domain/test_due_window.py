from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.delivery_result import WorkItem
from cdp.domain.due_window import DueWindow
from tests.unit.domain.items import at, item

items = st.builds(
    lambda number, seq, due: item(number, seq=seq, due_at=at(due)),
    number=st.integers(1, 20),
    seq=st.integers(1, 5),
    due=st.integers(0, 50),
)


@given(added=st.lists(items, max_size=60), limit=st.integers(1, 10))
def test_each_item_comes_out_once_with_its_newest_word_and_in_the_order_of_time(added, limit):
    window = DueWindow()
    window.add(added)
    newest: dict[bytes, WorkItem] = {}
    for one in added:
        if one.result_id not in newest or one.seq > newest[one.result_id].seq:
            newest[one.result_id] = one

    out = []
    while taken := window.take_due(at(99), limit):
        assert len(taken) <= limit
        out += taken

    assert {one.result_id: one for one in out} == newest
    assert len(out) == len(newest)
    assert [one.due_at for one in out] == sorted(one.due_at for one in out)
    assert len(window) == 0


@given(added=st.lists(items, max_size=60), now=st.integers(0, 50))
def test_nothing_comes_out_before_its_time(added, now):
    window = DueWindow()
    window.add(added)

    due = window.take_due(at(now), 99)

    assert all(one.due_at <= at(now) for one in due)


@given(added=st.lists(items, max_size=60))
def test_p5_the_window_is_bounded(added):
    window = DueWindow(items_max=7)

    window.add(added)

    assert len(window) <= 7


def test_an_item_that_is_known_is_moved_even_when_the_window_is_full():
    window = DueWindow(items_max=1)
    window.add([item(1, seq=1, due_at=at(50))])

    window.add([item(1, seq=2, due_at=at(5)), item(2)])

    assert [one.seq for one in window.take_due(at(5), 9)] == [2]


def test_the_next_due_time_is_that_of_the_earliest():
    window = DueWindow()
    assert window.next_due() is None

    window.add([item(1, due_at=at(9)), item(2, due_at=at(5))])

    assert window.next_due() == at(5)
