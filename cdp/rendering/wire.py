"""What parent and child say to each other: frames of a length in four bytes, then JSON.

    to the child    {"sources": [[handle, parts], ...], "items": [[handle, data or null], ...],
                     "drop": [handle, ...]}
    to the parent   [[position, parts] or [position, fault, detail, part, line, variables], ...]

A handle stands for one template in one child; its source is sent once. Data of null asks only
whether the template compiles. What the child works at stands in 8 bytes of shared memory, so that
the parent knows it at any moment, without a message for each item.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

from cdp.ports.renderer import Rendered, RenderFault, RenderOutcome, RenderRefusal

LENGTH: Final = struct.Struct("<I")

READY: Final = LENGTH.pack(2) + b"[]"
"""The child's first frame."""

PROGRESS_BYTES: Final = 8

IDLE: Final = 0
"""The progress of a child that works at no item."""


def progress_mark(position: int, *, is_compiled: bool) -> int:
    """The progress of a child at the item of this position. Within a frame it only grows."""
    return 2 * (position + 1) + is_compiled


def progress_position(mark: int) -> int | None:
    """The position of the item that a child is at, if it is at one."""
    return mark // 2 - 1 if mark != IDLE else None


def progress_is_compiling(mark: int) -> bool:
    """Whether the child compiles, for which it has more time."""
    return mark != IDLE and mark % 2 == 0


def outcome_of(answer: Sequence[Any]) -> RenderOutcome:
    """What an answer says of its item.

    Raises:
        ValueError, TypeError: the answer is not one that our child would give.
    """
    if len(answer) == 2:
        parts = answer[1]
        if not isinstance(parts, dict):
            raise TypeError
        return Rendered(parts=parts)
    _, fault, detail, part, line, variables = answer
    return RenderRefusal(
        fault=RenderFault(fault), detail=detail, part=part, line=line, variables=tuple(variables)
    )
