"""How many of an actor there should be: a pure function of its load, with hysteresis."""

from dataclasses import dataclass
from math import ceil


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
