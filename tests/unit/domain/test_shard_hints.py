"""When a shard takes hints: unless it is behind with what MongoDB holds of that client."""

from cdp.domain.ids import Partition
from cdp.domain.lane import LEVELS, lanes_of
from cdp.domain.shard_state import ShardLimits, ShardState
from tests.unit.domain.items import at, client, item

_, EMAIL = lanes_of("email")


def owning():
    limits = ShardLimits(level_max=6, client_max=4, client_low=2, pull_max=3, parked_max=3)
    state = ShardState(limits=limits)
    state.own([Partition(0)])
    return state


def test_of_a_client_with_more_in_mongodb_hints_are_not_taken():
    state = owning()
    state.is_active(LEVELS[1], [client(1)])
    [pull] = state.pulls()
    state.pulled(pull, [item(n) for n in range(10, 10 + pull.limit)], at(60))
    state.take(EMAIL, 9)

    assert state.hint([item(1), item(2, client_id=client(2))]) == 1
    assert [one.client_id for one in state.take(EMAIL, 9)] == [client(2)]


def test_while_it_is_only_to_be_seen_whether_there_is_more_hints_are_taken():
    state = owning()
    state.is_active(LEVELS[1], [client(1)])

    assert state.hint([item(1)]) == 1


def test_hints_are_taken_again_once_all_was_pulled():
    state = owning()
    state.is_active(LEVELS[1], [client(1)])
    [pull] = state.pulls()
    state.pulled(pull, [], at(60))

    assert state.hint([item(1)]) == 1
