from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cdp.domain.fairness import QUANTUM, FairQueue

clients = st.integers(0, 5).map(lambda number: bytes([number]))


class QueueMachine(RuleBasedStateMachine):
    """A queue beside one plain list for each client."""

    def __init__(self):
        super().__init__()
        self.queue: FairQueue[tuple[bytes, int]] = FairQueue(quantum=3)
        self.waiting = {}
        self.put_so_far = 0

    @rule(client=clients)
    def put(self, client):
        self.queue.put(client, (client, self.put_so_far))
        self.waiting.setdefault(client, []).append((client, self.put_so_far))
        self.put_so_far += 1

    @rule(limit=st.integers(0, 12))
    def take(self, limit):
        taken = self.queue.take(limit)

        assert len(taken) == min(limit, sum(len(items) for items in self.waiting.values()))
        for client, item in taken:
            assert self.waiting[client].pop(0) == (client, item)

    @rule()
    def clear(self):
        everything = self.queue.clear()

        assert sorted(everything) == sorted(i for items in self.waiting.values() for i in items)
        self.waiting = {}

    @invariant()
    def nothing_is_lost_and_nothing_is_made(self):
        held = {client: items for client, items in self.waiting.items() if items}
        assert len(self.queue) == sum(len(items) for items in held.values())
        assert set(self.queue.clients()) == held.keys()
        assert sorted(self.queue.heads()) == sorted(items[0] for items in held.values())
        for client in map(bytes, ([n] for n in range(6))):
            assert self.queue.waiting_of(client) == len(held.get(client, []))


TestQueue = QueueMachine.TestCase


@given(
    before=st.lists(st.tuples(clients, st.integers(1, 60)), max_size=20),
    limits=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    quantum=st.integers(1, 10),
)
def test_a_new_client_waits_at_most_one_quantum_of_each_other(before, limits, quantum):
    queue: FairQueue[Any] = FairQueue(quantum=quantum)
    for client, count in before:
        for _ in range(count):
            queue.put(client, client)
    queue.take(3)
    others = len(queue.clients())
    queue.put(b"new", b"new")

    ahead, step = 0, 0
    while True:
        taken = queue.take(limits[step % len(limits)])
        if b"new" in taken:
            ahead += taken.index(b"new")
            break
        ahead += len(taken)
        step += 1

    assert ahead <= others * quantum


def test_a_clients_own_items_stay_in_their_order():
    queue: FairQueue[Any] = FairQueue(quantum=2)
    for number in range(5):
        queue.put(b"a", number)

    assert queue.take(3) + queue.take(9) == [0, 1, 2, 3, 4]


def test_clients_take_turns_of_one_quantum():
    queue: FairQueue[Any] = FairQueue(quantum=2)
    for number in range(3):
        queue.put(b"a", f"a{number}")
        queue.put(b"b", f"b{number}")

    assert queue.take(10) == ["a0", "a1", "b0", "b1", "a2", "b2"]


def test_a_turn_that_was_cut_off_goes_on():
    queue: FairQueue[Any] = FairQueue(quantum=3)
    for number in range(4):
        queue.put(b"a", f"a{number}")
        queue.put(b"b", f"b{number}")

    assert queue.take(2) == ["a0", "a1"]
    assert queue.take(3) == ["a2", "b0", "b1"]


def test_a_million_of_one_client_delay_anothers_single_one_by_one_quantum():
    queue: FairQueue[Any] = FairQueue()
    for number in range(100_000):
        queue.put(b"campaign", number)
    queue.put(b"reset", "reset")

    assert queue.take(QUANTUM + 1)[-1] == "reset"


def test_a_quantum_of_nothing_cannot_be():
    with pytest.raises(AssertionError):
        FairQueue(quantum=0)
