"""What is told to the shards, and how much of it at a time."""

from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.hint_queue import CLIENT_MAX, SHARE, WAITING_MAX, HintQueue
from cdp.domain.lane import Priority
from tests.unit.domain.items import client, item


def bulk(count: int, *, of: int = 1):
    return [item(n, client_id=client(of)) for n in range(count)]


def test_urgent_hints_all_go_at_once_however_much_bulk_waits():
    queue = HintQueue()
    assert not queue.put(bulk(CLIENT_MAX))
    urgent = [item(n, priority=Priority.HIGH) for n in range(500)]

    assert queue.put(urgent)

    assert [one for one in queue.take(1) if one.priority is Priority.HIGH] == urgent


def test_of_a_clients_bulk_a_share_goes_for_each_shard_in_its_order():
    queue = HintQueue()
    items = bulk(5 * SHARE)
    queue.put(items)

    assert queue.take(1) == items[:SHARE]
    assert queue.take(3) == items[SHARE : 4 * SHARE]
    assert queue.take(3) == items[4 * SHARE :]
    assert not queue


def test_one_clients_flood_takes_nothing_from_another():
    queue = HintQueue()
    queue.put(bulk(10 * CLIENT_MAX))
    mine = bulk(10, of=2)
    queue.put(mine)

    taken = queue.take(1)

    assert [one for one in taken if one.client_id == client(2)] == mine
    assert len(queue) == CLIENT_MAX - SHARE


@given(counts=st.lists(st.integers(0, 3 * SHARE), max_size=20), shards=st.integers(1, 4))
def test_all_that_was_noted_goes_once(counts, shards):
    queue = HintQueue()
    noted = []
    for n, count in enumerate(counts):
        items = bulk(count, of=n)
        queue.put(items)
        noted += items

    taken = []
    while queue:
        taken += queue.take(shards)

    assert sorted(taken, key=lambda i: (i.client_id, i.result_id)) == sorted(
        noted, key=lambda i: (i.client_id, i.result_id)
    )


def test_what_waits_is_bounded():
    queue = HintQueue()
    for n in range(3 * WAITING_MAX // CLIENT_MAX):
        queue.put(bulk(CLIENT_MAX, of=n))

    assert len(queue) == WAITING_MAX
