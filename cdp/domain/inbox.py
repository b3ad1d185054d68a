"""What a user does with the entries of an inbox."""

from enum import StrEnum

MARK_MAX = 500
"""Entries that are marked in one call."""


class Mark(StrEnum):
    """What is noted of an entry."""

    SEEN = "seen"
    READ = "read"
    ARCHIVED = "archived"
    UNARCHIVED = "unarchived"
