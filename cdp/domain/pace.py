"""How much a shard has with the workers of a lane at once: no more than they can soon send.

A claimed message can't be cancelled, its lease runs, and one that is not answered soon costs a
second write. So there is a window of messages that are handed over and not reported, as TCP has one
(RFC 5681): it shrinks while messages have to wait in the worker, and grows while none has to and
it is the window that keeps others from being handed over: while batches are as large as they may
be (RFC 7661). A slow recipient is no reason to shrink, since nobody waits for it.
"""

from dataclasses import dataclass, field
from typing import Final

BATCH_LEAST: Final = 25
BATCHES: Final = 2
"""So many batches make a window: while one is sent, another is prepared."""
FIRST, LARGEST = 2, 8
"""The window at first and at most, in batches of the largest size."""
BEHIND_SHARE: Final = 0.1
"""A batch of which more had to wait shrinks the window."""
SHRINK: Final = 0.5
"""The part that goes when a whole batch had to wait; less in proportion (RFC 8257, section 3.3)."""
GROW, GROW_FREELY = 1.01, 1.1
CALM: Final = 100
"""After so many batches of which none had to wait, the worker is no longer the one that it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Room in the window for one batch."""

    size: int
    cuts: int
    """How often the window had shrunk before: what was begun under a larger one says nothing of
    the one that there is now."""
    is_full: bool = True
    """Whether there was as much as there was room for."""


@dataclass(slots=True, kw_only=True)
class Pace:
    """The window of a lane, and the size of its batches."""

    batch_max: int
    under_way: int = 0
    """Messages for which there is a place, up to the report of their batch."""
    _window: float = field(init=False)
    _cuts: int = 0
    _calm: int = CALM

    def __post_init__(self) -> None:
        self._window = float(FIRST * self.batch_max)

    @property
    def window(self) -> int:
        """Messages that may be under way at once."""
        return int(self._window)

    @property
    def batch(self) -> int:
        """Messages in one batch, at most."""
        return min(self.batch_max, max(BATCH_LEAST, self.window // BATCHES))

    @property
    def has_room(self) -> bool:
        """Whether one more batch may begin."""
        return not self.under_way or self.under_way + self.batch <= self.window

    def begin(self) -> Place:
        """Keep a place for one batch."""
        place = Place(size=self.batch, cuts=self._cuts)
        self.under_way += place.size
        return place

    def fill(self, place: Place, count: int, *, taken: int | None = None) -> Place:
        """The place when it turns out how many need it.

        Args:
            taken: how many were there for it, if some of them need none.
        """
        self.under_way -= place.size - count
        is_full = (count if taken is None else taken) >= place.size
        return Place(size=count, cuts=place.cuts, is_full=is_full)

    def end(self, place: Place) -> None:
        """Nobody needs the place any longer."""
        self.under_way -= place.size

    def note(self, place: Place, *, behind: int) -> None:
        """Take in, before its place ends, how many of a batch had to wait in their worker."""
        if place.cuts != self._cuts:
            return
        if behind > place.size * BEHIND_SHARE:
            least = min(BATCHES * BATCH_LEAST, self.batch_max)
            self._window = max(least, self._window * (1 - SHRINK * behind / place.size))
            self._cuts += 1
            self._calm = 0
        elif not behind and place.is_full and not self.has_room:
            self._calm += 1
            grown = self._window * (GROW if self._calm < CALM else GROW_FREELY)
            self._window = min(LARGEST * self.batch_max, grown)
