"""How long a file is worked on before another has its turn, and how long one in trouble rests.

Pure: the caller brings what going back has cost, and how often the file has stopped.
`FileIngestionService` asks here; nothing else decides a turn.
"""

from typing import Final

TURN_S: Final = 2.0
"""A file that is short waits at most so long for each client whose files are long."""
GOING_BACK: Final = 4.0
"""A turn lasts so many times as long as it took to come back to the file's place, at least."""
PAUSE_FIRST_S: Final = 1.0
PAUSE_CAP_S: Final = 300.0
TRIES_MAX: Final = 12
"""Tries without a step ahead, each ended by an error of ours, that a file is given: twenty minutes,
by the pauses in between."""


def turn_s(*, going_back_s: float) -> float:
    """How long a turn lasts.

    To go on with a plain file costs nothing. A packed one is decompressed again from its beginning,
    longer each time; with turns that grow with it, that is a fifth of all the work at most, in
    however many turns it is done.

    Args:
        going_back_s: from the turn's begin to the first rows.
    """
    assert going_back_s >= 0
    return max(TURN_S, GOING_BACK * going_back_s)


def pause_s(*, stops: int) -> float:
    """How long a file rests after its stop number `stops`, counted from 1, since its last step."""
    assert stops >= 1
    # The exponent is capped, or a long outage would leave a float's range.
    return min(PAUSE_CAP_S, PAUSE_FIRST_S * 2.0 ** min(stops - 1, 30))
