from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.ids import Partition
from cdp.domain.partition_plan import plan

names = st.sampled_from(["a", "b", "c", "d", "e"])
shards = st.lists(names, min_size=1, max_size=5, unique=True)
currents = st.lists(st.none() | names, max_size=40).map(lambda owners: dict(enumerate(owners)))


def moved(current, planned):
    owner = {partition: shard for shard, owned in planned.items() for partition in owned}
    return sum(owner[partition] != before for partition, before in current.items())


@given(shards=shards, current=currents)
def test_every_partition_has_exactly_one_shard(shards, current):
    planned = plan(shards, current)

    assert planned.keys() == set(shards)
    assert sorted(p for owned in planned.values() for p in owned) == sorted(current)


@given(shards=shards, current=currents)
def test_the_work_is_shared_evenly(shards, current):
    sizes = [len(owned) for owned in plan(shards, current).values()]

    assert max(sizes) - min(sizes) <= 1


@given(shards=shards, current=currents)
def test_as_few_partitions_as_possible_change_hands(shards, current):
    smallest, larger = divmod(len(current), len(shards))
    held = Counter(owner for owner in current.values() if owner in shards)
    keepable = sum(min(count, smallest) for count in held.values())
    keepable += min(larger, sum(count > smallest for count in held.values()))

    assert moved(current, plan(shards, current)) == len(current) - keepable


@given(shards=shards, current=currents)
def test_a_plan_that_was_followed_moves_nothing(shards, current):
    planned = plan(shards, current)
    followed = {partition: shard for shard, owned in planned.items() for partition in owned}

    assert moved(followed, plan(shards, followed)) == 0


def test_a_new_shard_takes_its_share_from_the_others():
    owners = ["a"] * 4 + ["b"] * 4
    current = {Partition(index): owner for index, owner in enumerate(owners)}

    planned = plan(["a", "b", "c", "d"], current)

    assert {shard: len(owned) for shard, owned in planned.items()} == dict.fromkeys("abcd", 2)
    assert moved(current, planned) == 4


def test_without_shards_there_is_no_plan():
    with pytest.raises(AssertionError):
        plan([], {})
