"""How much a shard hands over at a time, so that no worker holds more than it can soon send.

A claimed message can't be cancelled, and its lease runs. So the batches shrink while a worker
leaves much of them unanswered, and grow again while it answers all.
"""

from dataclasses import dataclass
from typing import Final

BATCH_LEAST: Final = 25
LEFT_SHARE: Final = 0.3
"""A batch of which more is left at the answer was too large; a few slow recipients are not."""


@dataclass(slots=True, kw_only=True)
class Pace:
    """The size of a lane's batches."""

    batch_max: int
    batch: int = 0

    def __post_init__(self) -> None:
        self.batch = self.batch_max

    def note(self, *, handed: int, left: int) -> None:
        """Take in how much of a batch was unanswered when the worker reported."""
        if left > handed * LEFT_SHARE:
            self.batch = max(min(BATCH_LEAST, self.batch_max), self.batch // 2)
        elif left == 0:
            self.batch = min(self.batch_max, self.batch * 2)
