from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cdp.domain.event import Status
from cdp.domain.ids import Partition
from cdp.domain.lane import LANES, LEVELS, Priority, lane_of, lanes_of
from cdp.domain.shard_state import MARGIN, ShardLimits, ShardState
from tests.unit.domain.items import START, at, client, item

EMAIL_HIGH, EMAIL = lanes_of("email")

SMALL = ShardLimits(level_max=6, client_max=4, client_low=2, pull_max=3, parked_max=3)
ALL = range(4)

items = st.builds(
    lambda number, who, partition, priority: item(
        number, client_id=client(who), partition=partition, priority=priority
    ),
    number=st.integers(1, 40),
    who=st.integers(1, 3),
    partition=st.integers(0, 3),
    priority=st.sampled_from(Priority),
)


def owning(*partitions, limits=SMALL):
    state = ShardState(limits=limits)
    state.own(Partition(partition) for partition in partitions or ALL)
    return state


class ShardMachine(RuleBasedStateMachine):
    """Whatever is offered, taken, parked and lost: memory is bounded and nothing is known twice."""

    def __init__(self):
        super().__init__()
        self.state = owning()
        self.in_flight = {}
        self.now = 0

    @rule(offered=st.lists(items, max_size=15))
    def offer(self, offered):
        before = self.state.held()["known"]

        taken = self.state.offer(offered)

        assert self.state.held()["known"] == before + taken

    @rule(lane=st.sampled_from(LANES), limit=st.integers(1, 6))
    def take(self, lane, limit):
        taken = self.state.take(lane, limit)

        assert len(taken) <= limit
        priorities = [one.priority for one in taken]
        assert priorities == sorted(priorities)
        for one in taken:
            assert one.lane == lane
            assert one.result_id not in self.in_flight, "taken twice"
            self.in_flight[one.result_id] = one

    @rule(data=st.data())
    def settle(self, data):
        some = data.draw(st.sets(st.sampled_from(sorted(self.in_flight)))) if self.in_flight else ()
        self.state.settle(some)
        for result_id in some:
            del self.in_flight[result_id]

    @rule(data=st.data())
    def park(self, data):
        some = data.draw(st.sets(st.sampled_from(sorted(self.in_flight)))) if self.in_flight else ()
        self.state.park([self.in_flight.pop(result_id) for result_id in some], at(self.now + 2))

    @rule(seconds=st.integers(0, 3))
    def time_passes(self, seconds):
        self.now += seconds
        self.state.unpark(at(self.now))

    @rule(partitions=st.sets(st.integers(0, 3)))
    def hands_change(self, partitions):
        self.state.own(partitions)

    @rule(brought=st.lists(items, max_size=8))
    def pull(self, brought):
        for pull in self.state.pulls():
            fitting = [i for i in brought if (i.lane, i.priority) == pull.level][: pull.limit]
            self.state.pulled(pull, fitting, at(self.now))

    @invariant()
    def memory_is_bounded(self):
        held = self.state.held()
        assert held["buffered"] <= SMALL.level_max * len(LEVELS)
        assert held["parked"] <= SMALL.parked_max

    @invariant()
    def what_is_known_is_buffered_parked_or_in_flight_and_only_once(self):
        held = self.state.held()
        assert held["known"] == held["buffered"] + held["parked"] + len(self.in_flight)

    @invariant()
    def waiting_counts_what_is_buffered(self):
        waiting = sum(self.state.waiting(lane) for lane in LANES)
        assert waiting == self.state.held()["buffered"]


ShardMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestShard = ShardMachine.TestCase


@given(offered=st.lists(items, max_size=200))
def test_p5_memory_is_bounded_whatever_is_offered(offered):
    state = owning()

    state.offer(offered)

    held = Counter(
        (i.lane, i.priority, i.client_id) for lane in LANES for i in state.take(lane, 99)
    )
    assert all(count <= SMALL.client_max for count in held.values())
    for lane, priority in LEVELS:
        of_level = [count for key, count in held.items() if key[:2] == (lane, priority)]
        assert sum(of_level) <= SMALL.level_max


def test_nothing_is_known_twice_until_it_is_settled():
    state = owning()

    assert state.offer([item(1), item(1)]) == 1
    [taken] = state.take(EMAIL, 9)
    assert state.offer([item(1, seq=2)]) == 0

    state.settle([taken.result_id])
    assert state.offer([item(1, seq=2)]) == 1


def test_what_is_final_or_of_another_shard_is_not_taken_in():
    state = owning(0)

    offered = [item(1, partition=1), item(2, status=Status.DELIVERED)]

    assert state.offer(offered) == 0


def test_bulk_never_fills_the_room_of_urgent_messages():
    state = owning()
    state.offer(item(n, client_id=client(n % 3), priority=Priority.LOW) for n in range(50))

    urgent = [item(100 + n, priority=Priority.HIGH) for n in range(SMALL.client_max)]

    assert state.offer(urgent) == SMALL.client_max
    assert state.waiting(EMAIL_HIGH) == SMALL.client_max


def test_a_lane_is_served_by_priority():
    state = owning()
    state.offer([item(1, priority=Priority.LOW), item(2, priority=Priority.NORMAL)])

    assert [one.priority for one in state.take(EMAIL, 9)] == [Priority.NORMAL, Priority.LOW]


def test_lost_partitions_are_dropped_and_the_others_stay():
    state = owning()
    state.offer(item(n, partition=n % 2) for n in range(1, 5))

    state.own([0])

    assert {one.partition for one in state.take(EMAIL, 9)} == {0}


def test_what_was_parked_of_a_lost_partition_is_forgotten():
    state = owning()
    state.offer([item(1, partition=1)])
    state.park(state.take(EMAIL, 9), at(5))

    state.own([0])

    assert state.held() == {"buffered": 0, "parked": 0, "known": 0}


def test_what_was_parked_of_a_kept_partition_stays():
    state = owning()
    state.offer([item(1, partition=0)])
    state.park(state.take(EMAIL, 9), at(5))

    state.own([0])

    assert state.held()["parked"] == 1


def test_parked_items_come_back_when_their_wait_is_over():
    state = owning()
    state.offer([item(1)])
    state.park(state.take(EMAIL, 9), at(5))

    assert state.unpark(at(4.9)) == 0
    assert state.unpark(at(5)) == 1
    assert [one.result_id for one in state.take(EMAIL, 9)] == [item(1).result_id]


def test_what_finds_no_room_to_park_is_forgotten_and_can_be_offered_again():
    state = owning(limits=ShardLimits(level_max=6, client_max=6, client_low=3, parked_max=2))
    state.offer(item(n) for n in range(1, 4))

    state.park(state.take(EMAIL, 9), at(5))

    assert state.held() == {"buffered": 0, "parked": 2, "known": 2}
    assert state.offer([item(3)]) == 1


def test_a_source_is_pulled_only_while_there_may_be_more():
    state = owning()
    state.is_active(LEVELS[1], [client(1)])
    [pull] = state.pulls()

    state.pulled(pull, [item(1)], at(60))

    assert pull.after is None
    assert state.pulls() == []


def test_a_pull_starts_a_margin_before_the_emptied_time():
    state = owning()
    state.is_active(LEVELS[1], [client(1)])
    [pull] = state.pulls()
    state.pulled(pull, [], at(60))

    state.is_active(LEVELS[1], [client(1)])

    assert [pull.after for pull in state.pulls()] == [at(60) - MARGIN]


def test_a_rescan_looks_at_everything_again():
    state = owning()
    state.is_active(LEVELS[1], [client(1)])
    [pull] = state.pulls()
    state.pulled(pull, [], at(60))

    state.rescan()

    assert [pull.after for pull in state.pulls()] == [None]


def test_newly_owned_partitions_are_looked_at_from_the_beginning():
    state = owning(0)
    state.is_active(LEVELS[1], [client(1)])
    [pull] = state.pulls()
    state.pulled(pull, [], at(60))

    state.own([0, 1])

    assert [pull.after for pull in state.pulls()] == [None]


def test_nothing_is_pulled_for_a_client_whose_share_is_half_full():
    state = owning()
    state.offer(item(n) for n in range(1, 4))
    state.is_active(LEVELS[1], [client(1)])

    assert state.pulls() == []


def test_nothing_is_pulled_into_a_full_level():
    state = owning()
    state.offer(item(n, client_id=client(1 + n % 3)) for n in range(1, 10))
    state.is_active(LEVELS[1], [client(9)])

    assert [pull for pull in state.pulls() if pull.client_id == client(9)] == []


@given(
    backlog=st.lists(items, max_size=60, unique_by=lambda one: one.result_id),
    batch=st.integers(1, 7),
)
@settings(max_examples=50)
def test_what_is_refused_is_pulled_later_until_nothing_is_left(backlog, batch):
    state = owning()
    durable = {one.result_id: one for one in backlog}
    state.offer(backlog)

    for second in range(400):
        poll(state, durable, second)
        for lane in LANES:
            taken = state.take(lane, batch)
            for one in taken:
                durable.pop(one.result_id)
            state.settle(one.result_id for one in taken)
        if not durable:
            break

    assert not durable
    assert state.held()["known"] == 0


def poll(state, durable, second):
    """What a shard does once a second, over what MongoDB has."""
    if second % 30 == 0:
        state.rescan()
    for level in LEVELS:
        state.is_active(
            level, sorted({i.client_id for i in durable.values() if level_of(i) == level})
        )
    for pull in state.pulls():
        found = [
            one
            for one in durable.values()
            if level_of(one) == pull.level and one.client_id == pull.client_id
        ]
        state.pulled(pull, found[: pull.limit], at(second))


def level_of(one):
    return lane_of("email", one.priority), one.priority


def test_the_oldest_due_is_seen_over_all_clients_of_a_lane():
    state = owning()
    assert state.oldest_due(EMAIL) is None

    state.offer([item(1, due_at=at(9)), item(2, client_id=client(2), due_at=START)])

    assert state.oldest_due(EMAIL) == START
    assert state.oldest_due(EMAIL_HIGH) is None


def test_a_client_cannot_have_more_room_than_its_level():
    with pytest.raises(AssertionError):
        ShardLimits(level_max=1, client_max=2, client_low=0)


def test_a_shard_is_short_while_a_pull_would_find_room():
    state = owning()
    assert not state.is_short()

    state.is_active(LEVELS[1], [client(1)])

    assert state.is_short()


def test_p5_clients_that_had_work_once_are_forgotten_when_there_are_too_many():
    state = owning(limits=ShardLimits(level_max=6, client_max=4, client_low=2, sources_max=2))
    state.is_active(LEVELS[1], [client(n) for n in range(3)])

    state.rescan()

    assert state.pulls() == []


def test_a_full_pull_is_followed_by_another():
    state = owning()
    state.is_active(LEVELS[1], [client(1)])
    [pull] = state.pulls()

    state.pulled(pull, [item(n) for n in range(1, pull.limit + 1)], at(60))
    state.settle(one.result_id for one in state.take(EMAIL, 9))

    assert [again.after for again in state.pulls()] == [None]


def test_an_empty_pull_that_a_refusal_overtook_is_not_taken_for_the_end():
    state = owning()
    state.is_active(LEVELS[1], [client(1)])
    [pull] = state.pulls()
    state.offer(item(n, client_id=client(2 + n % 2)) for n in range(1, 9))

    state.pulled(pull, [item(20)], at(60))

    state.settle(one.result_id for one in state.take(EMAIL, 9))
    assert client(1) in {again.client_id for again in state.pulls()}


def test_to_settle_what_is_not_known_changes_nothing():
    state = owning()
    state.offer([item(1)])

    state.settle([item(2).result_id])

    assert state.held()["known"] == 1
