"""Lanes: each is a queue with delivery capacity of its own.

Every channel has two, so that no channel waits for another's provider, and what is urgent for
nobody's bulk.
"""

from enum import IntEnum
from typing import Final

CHANNEL_NAMES: Final = ("email", "sms", "push", "in_app", "webhook")
"""The channels that there are; what is known of each is in `cdp.channels.table`."""


class Priority(IntEnum):
    """How urgent a communication is; smaller is served first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @property
    def word(self) -> str:
        """As the API writes it."""
        return self.name.lower()


Level = tuple[str, Priority]
"""A lane and a priority: each has a buffer of its own in a shard."""

_HIGH: Final = "high"
_DEFAULT: Final = "default"


def lane_of(channel: str, priority: Priority) -> str:
    """The lane that serves a channel and priority, such as `email.high`."""
    return f"{channel}.{_HIGH if priority is Priority.HIGH else _DEFAULT}"


def lanes_of(channel: str) -> tuple[str, str]:
    """The lanes of a channel, the urgent one first."""
    return f"{channel}.{_HIGH}", f"{channel}.{_DEFAULT}"


def channel_of(lane: str) -> str:
    """Whose lane it is."""
    return lane.partition(".")[0]


def is_urgent(lane: str) -> bool:
    """Whether it is a lane for urgent communications."""
    return lane.endswith(_HIGH)


def levels_of(channel: str) -> tuple[Level, ...]:
    """The levels of a channel, in the order in which they are served."""
    return tuple((lane_of(channel, priority), priority) for priority in Priority)


LANES: Final = tuple(lane for channel in CHANNEL_NAMES for lane in lanes_of(channel))
LEVELS: Final[tuple[Level, ...]] = tuple(
    level for channel in CHANNEL_NAMES for level in levels_of(channel)
)
