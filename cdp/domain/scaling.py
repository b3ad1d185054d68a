"""How many of an actor there should be: a pure function of its load, with hysteresis."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from cdp.domain.lane import LANES, is_urgent


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleBounds:
    """Between how many, and how fast a backlog should be gone."""

    least: int
    most: int
    drain_s: float = 60.0
    """The time in which the backlog at hand should be worked off."""

    def __post_init__(self) -> None:
        assert 0 <= self.least <= self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is seen of a kind of actor."""

    running: int
    backlog: int
    rate_each_per_s: float
    """What one of them can do a second, as seen at its best lately."""
    calm_s: float = 0.0
    """For how long fewer than are running would have done."""


def shared_out(backlog: int, demand: Mapping[str, int]) -> dict[str, int]:
    """How much of the due backlog each lane has to work off.

    Of what is in memory the lane is known, and of what is urgent all is in memory. The rest, which
    waits in MongoDB, is counted for all lanes together: it is shared out as what is in memory is.

    Args:
        backlog: all that is due.
        demand: what is in memory, by lane.
    """
    urgent = sum(demand.get(lane, 0) for lane in LANES if is_urgent(lane))
    bulk = sum(demand.get(lane, 0) for lane in LANES if not is_urgent(lane))
    rest = max(0, backlog - urgent)
    return {
        lane: demand.get(lane, 0)
        if is_urgent(lane) or not bulk
        else max(demand.get(lane, 0), rest * demand.get(lane, 0) // bulk)
        for lane in LANES
    }


RATE_LEAST_PER_S = 1.0
"""What one is thought to do where nothing is known, or all stands still."""

CALM_S = 60.0
"""Seconds of calm before one is let go, one at a time."""


def needed(load: Load, bounds: ScaleBounds) -> int:
    """How many would work off the backlog in time."""
    if load.backlog == 0:
        return bounds.least
    each = max(load.rate_each_per_s, RATE_LEAST_PER_S) * bounds.drain_s
    if load.backlog >= each * bounds.most:
        return bounds.most
    return max(bounds.least, 1, ceil(load.backlog / each))


def target(load: Load, bounds: ScaleBounds) -> int:
    """How many there should be next: up at once, down by one after a time of calm."""
    wanted = max(bounds.least, min(bounds.most, needed(load, bounds)))
    if wanted >= load.running:
        return wanted
    if load.calm_s < CALM_S:
        return min(load.running, bounds.most)
    return max(min(load.running - 1, bounds.most), wanted)
