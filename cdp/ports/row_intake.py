"""Between a file and the front door: how its rows are read, and how they are taken in."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cdp.domain.record import record
from cdp.domain.request_file import Checkpoint, RequestFile
from cdp.file_formats.faults import RowFault


class FileUnreadable(Exception):
    """The file can't be read on, and never will be: the reason is a word, the detail a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SenderGone(Exception):
    """The file's client is not there."""


@record
class FileRow:
    """One row, as far as it could be read."""

    number: int
    """From 1; the header is none."""
    text: Callable[[], str]
    """As it stands in the file, cut if it is long; asked for of rejects alone."""
    request: Any = None
    """The object that a POST would have; as bytes, where it is still JSON."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What the file's options fill in, where that is not done yet."""
    column_of: Callable[[str], str] = field(default=lambda _: "")
    """The column that a field came from, by its pointer; empty if from none."""
    fault: RowFault | None = None
    """Where it is no request at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Rows that are checkpointed together."""

    rows: Sequence[FileRow]
    position: Mapping[str, Any]
    """Where the next row begins."""


class RowSource(Protocol):
    """Reads files."""

    def stretches(self, file: RequestFile, begin: Checkpoint) -> AsyncGenerator[Stretch, None]:
        """The rows from a checkpoint on. The same file gives the same stretches. Who stops early
        closes it, which gives the stored file back.

        Raises:
            FileUnreadable: it is none of the formats, is broken, or has gone.
            StoreUnavailable: object storage can't be reached now.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What came of rows."""

    faults: Mapping[int, RowFault]
    """Of those that are rejected, by number."""
    later: frozenset[int] = frozenset()
    """Those that nothing was decided on: the platform is full, or could not be asked."""
    retry_after_s: float = 0.0


class RowIntake(Protocol):
    """The Communication Service's front door, for rows. Both raise `SenderGone`."""

    async def check(self, file: RequestFile, rows: Sequence[FileRow]) -> Taken:
        """What would be rejected, without taking anything in."""

    async def accept(self, file: RequestFile, rows: Sequence[FileRow], *, again: bool) -> Taken:
        """Take rows in; one that was before is not doubled.

        Args:
            file: whose rows they are.
            rows: each a request.
            again: some may have been taken in before, by one who died.
        """
