"""How much one template may ask for. Parent, child and tests read the same numbers."""

from typing import Final

SOURCE_CHARS_MAX: Final = 262_144
"""Of one part of a template. A mail beyond about 100 kB is cut by its reader's client anyway."""

CONTEXT_BYTES_MAX: Final = 1_048_576
"""Of one recipient's data, as JSON."""

OUTPUT_BYTES_MAX: Final = 1_000_000
"""Of one rendered part, in UTF-8."""

ITERATIONS_MAX: Final = 100_000
"""Of all loops of one part together; a loop counts its items before it begins."""

REPEATED_CHARS_MAX: Final = 10_000
"""Of the result of `"-" * 40`, and the items of a repeated list."""

INTEGER_BITS_MAX: Final = 4_096
"""Of the result of `*` and `**` on integers."""

FILTER_NUMBER_MAX: Final = 1_000
"""Of the number that `batch`, `slice` and `round` take."""

MEMORY_BYTES_MAX: Final = 512 * 1024 * 1024
"""Address space of a child (RLIMIT_AS)."""

GROWTH_BYTES_MAX: Final = 128 * 1024 * 1024
"""A child that has grown by more since its start ends itself and is replaced."""

FILES_MAX: Final = 16
"""Open files of a child (RLIMIT_NOFILE)."""

FRAME_ITEMS_MAX: Final = 256
FRAME_BYTES_MAX: Final = 2 * 1024 * 1024
"""A frame takes no further item beyond this; parsed, hostile JSON takes forty times its size."""

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one frame from the child. A longer one comes from a child that is not ours any more."""

FLUSH_ITEMS: Final = 16
FLUSH_BYTES: Final = 65_536
"""The child sends its answers at these; what it had not sent is rendered again if it dies."""

KNOWN_SOURCES_MAX: Final = 512
KNOWN_CHARS_MAX: Final = 4 * 1024 * 1024
"""What a child keeps compiled, by number and by length of the sources."""
