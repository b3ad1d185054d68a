"""Which shard is to own which partitions: evenly, and with as few changes of hands as can be."""

from collections import Counter
from collections.abc import Mapping, Sequence

from cdp.domain.ids import Partition


def plan(
    shards: Sequence[str], current: Mapping[Partition, str | None]
) -> dict[str, list[Partition]]:
    """A shard for every partition.

    Args:
        shards: those that are to share the work, at least one.
        current: every partition with the shard that it is assigned to now.
    """
    assert shards
    smallest, larger = divmod(len(current), len(shards))
    owned: dict[str, list[Partition]] = {shard: [] for shard in shards}
    homeless: list[Partition] = []
    # The odd ones stay with those that have the most, so that they need not move.
    counts = Counter(current.values())
    fullest = sorted(shards, key=lambda shard: -counts[shard])
    room = {shard: smallest + (index < larger) for index, shard in enumerate(fullest)}
    for partition, shard in sorted(current.items()):
        if shard in owned and len(owned[shard]) < room[shard]:
            owned[shard].append(partition)
        else:
            homeless.append(partition)
    for shard in shards:
        while len(owned[shard]) < room[shard]:
            owned[shard].append(homeless.pop())
    return owned
