"""A file of requests: what is known of it, and how it goes from being stored to being done.

Its id fixes the ids of all requests that its rows make, so a row makes one communication however
often it is read: file and row number are its idempotency key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from cdp.domain.file_turn import TRIES_MAX
from cdp.domain.ids import ClientId
from cdp.errors import Conflict

FILE_BYTES_MAX: Final = 5 * 1024**3
"""What peers take at most, compressed or not."""
ROWS_MAX: Final = 5_000_000
NAME_MAX: Final = 200
SAME_FILE: Final = timedelta(hours=24)
"""The same bytes within this time are taken for a mistake, unless their sender insists."""
STRETCH: Final = 2_000
"""Rows between two checkpoints."""
AHEAD: Final = 2
"""Stretches that are worked on at once: behind the checkpoint so many may be half done."""
ROWS_REJECTED: Final = "rows_rejected"
"""Why a strict file has failed of which nothing was sent."""


class FileState(StrEnum):
    """Where a file is."""

    AWAITED = "awaited"
    """Its sender has a place to put it; nothing of it is known to have come."""
    RECEIVING = "receiving"
    """It has come, and is taken in to where nobody else writes."""
    HELD = "held"
    """Stored whole; nothing is sent until it is started."""
    WAITING = "waiting"
    """Stored whole; its turn comes."""
    CHECKING = "checking"
    """All rows are looked at before the first is sent: it is all or nothing."""
    INGESTING = "ingesting"
    """Row by row becomes a communication, or is rejected."""
    DONE = "done"
    """Every row was accepted or rejected."""
    FAILED = "failed"
    """It can't be read on; what was accepted before that goes on."""
    CANCELLED = "cancelled"
    """Taken back; what was accepted before that can be cancelled by its own."""


S = FileState
OPEN: Final = frozenset({S.WAITING, S.CHECKING, S.INGESTING})
"""States in which somebody has to work on it."""
ENDED: Final = frozenset({S.DONE, S.FAILED, S.CANCELLED})


class FileSource(StrEnum):
    """How it came."""

    API = "api"
    SFTP = "sftp"
    BUCKET = "bucket"
    """Somebody has put it into object storage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCounts:
    """Rows so far."""

    rows: int = 0
    accepted: int = 0
    rejected: int = 0

    def plus(self, *, accepted: int, rejected: int) -> "FileCounts":
        """After so many more."""
        return FileCounts(
            rows=self.rows + accepted + rejected,
            accepted=self.accepted + accepted,
            rejected=self.rejected + rejected,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Up to where it is done for good: whoever goes on begins here."""

    counts: FileCounts = field(default_factory=FileCounts)
    position: Mapping[str, Any] | None = None
    """Where the next row begins, as its format says; None is the beginning."""
    parts: int = 0
    """Stretches whose rejects are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """How a file comes that its sender puts into object storage."""

    key: str
    """Where it is put. Who may write there may do so again."""
    version: str | None = None
    """Which object there it is; None: whichever lies there when it is taken in."""
    until: datetime | None = None
    """For how long it is waited for; None: it was there before it was known."""
    is_held: bool = False
    """Whether it is held once it is taken in."""
    insist: bool = False
    """Whether it is meant, if the same bytes have come lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFile:
    """One file of a client."""

    id: bytes
    client_id: ClientId
    name: str
    """As its sender calls it: for people, never for a path."""
    source: FileSource
    size: int
    digest: bytes
    """SHA-256 of what was sent."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Format, encoding and delimiter as declared, and what rows may leave out."""
    is_strict: bool = False
    incoming: Incoming | None = None
    """None: its bytes came by the platform itself."""
    copy: str | None = None
    """Which copy of what came it is. Each try to take it in makes one under a name of its own, so
    that one that is late writes over nothing."""
    state: FileState
    reason: str | None = None
    """Why it has failed: a word; `detail` says more."""
    detail: str | None = None
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    checked: Checkpoint | None = None
    """How far the first pass of a strict one is."""
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime
    tries: int = 0
    """Since its last step ahead: how often an error of ours, or its client's absence, ended it."""
    outages: int = 0
    """Since its last step ahead: how often what it needs was away. These never count against it."""
    version: int = 1
    """Rises with each change: who has read an older one changes nothing."""

    @property
    def ended_early(self) -> bool:
        """Whether it has ended where nobody knows what its last rows have become.

        A stretch that was under way may have been taken in by half: that is counted once nobody
        works on the file any more.
        """
        return self.state in (S.FAILED, S.CANCELLED) and self.started_at is not None

    @property
    def key(self) -> str:
        """Where its bytes are stored."""
        return self.copies + self.copy if self.copy else f"{self._folder}/source"

    @property
    def copies(self) -> str:
        """What the keys of all copies of what came begin with."""
        return f"{self._folder}/source-"

    @property
    def _folder(self) -> str:
        return f"files/{self.client_id.hex()}/{self.id.hex()}"

    def rejects_key(self, part: int) -> str:
        """Where the rejects of a stretch are stored; their order is that of the rows."""
        return f"{self._folder}/rejects/{part:08d}"


def arrived(file: RequestFile, *, at: datetime) -> RequestFile:
    """An awaited file of which somebody has seen that it is there."""
    return _changed(file, at, state=S.RECEIVING) if file.state is S.AWAITED else file


def taken_in(
    file: RequestFile, *, copy: str, size: int, digest: bytes, at: datetime
) -> RequestFile:
    """A file that came and is stored whole where nobody else writes."""
    assert file.state is S.RECEIVING
    assert file.incoming is not None
    state = S.HELD if file.incoming.is_held else S.WAITING
    return _changed(file, at, state=state, copy=copy, size=size, digest=digest)


def begun(file: RequestFile, *, at: datetime) -> RequestFile:
    """The file when somebody begins, or goes on, to work on it."""
    if file.state is not S.WAITING:
        return file
    state = S.CHECKING if file.is_strict and file.checked is None else S.INGESTING
    return _changed(file, at, state=state, started_at=file.started_at or at)


def started(file: RequestFile, *, at: datetime) -> RequestFile:
    """A file that was held, on its way; one that is being taken in stays as it is.

    Raises:
        Conflict: it has ended, or has not come.
    """
    if file.state in OPEN or file.state is S.RECEIVING:
        return file
    if file.state is not S.HELD:
        raise Conflict(f"The file is {file.state}.")
    return _changed(file, at, state=S.WAITING)


def cancelled(file: RequestFile, *, at: datetime) -> RequestFile:
    """A file that is taken back: no more of its rows are accepted.

    Raises:
        Conflict: it is done, or has failed.
    """
    if file.state is S.CANCELLED:
        return file
    if file.state in ENDED:
        raise Conflict(f"The file is {file.state}.")
    return _changed(file, at, state=S.CANCELLED, ended_at=at)


def failed(file: RequestFile, *, reason: str, detail: str, at: datetime) -> RequestFile:
    """A file that can't be read on."""
    return _changed(file, at, state=S.FAILED, reason=reason, detail=detail, ended_at=at)


def stumbled(file: RequestFile, *, reason: str, why: str, at: datetime) -> RequestFile:
    """A file whose work was ended by what another try may not mend; in the end it has failed.

    Args:
        file: as it was when that happened.
        reason: a word for it.
        why: a sentence for it.
        at: now.
    """
    tries = file.tries + 1
    if tries < TRIES_MAX:
        return _changed(file, at, tries=tries)
    rows = file.checkpoint.counts.rows
    detail = (
        f"{why} It was tried {tries} times. Rows up to {rows:,} are decided on, and of those "
        "behind them what `results` lists. When it is mended, send all others as another file."
    )
    return failed(replace(file, tries=tries), reason=reason, detail=detail, at=at)


def held_up(file: RequestFile, *, at: datetime) -> RequestFile:
    """A file whose work was ended by what it needs being away."""
    return _changed(file, at, outages=file.outages + 1)


def advanced(file: RequestFile, checkpoint: Checkpoint, *, at: datetime) -> RequestFile:
    """A file of which another stretch is done for good."""
    done = "checked" if file.state is S.CHECKING else "checkpoint"
    return _changed(file, at, tries=0, outages=0, **{done: checkpoint})


def read_through(file: RequestFile, *, at: datetime) -> RequestFile:
    """A file whose last row was read: it is done, or its second pass begins."""
    if file.state is not S.CHECKING:
        return _changed(file, at, state=S.DONE, ended_at=at)
    assert file.checked is not None
    rejected = file.checked.counts.rejected
    if rejected:
        detail = f"{rejected:,} of {file.checked.counts.rows:,} rows are wrong, and it is strict."
        refused = replace(file, checkpoint=file.checked)
        return failed(refused, reason=ROWS_REJECTED, detail=detail, at=at)
    # What the first pass has stored of rejects is nothing.
    return _changed(file, at, state=S.INGESTING)


def seconds_left(file: RequestFile, *, bytes_done: int | None, now: datetime) -> float | None:
    """How long it will take at the pace so far, if that can be said."""
    if file.state is not S.INGESTING or file.started_at is None or not bytes_done:
        return None
    share = min(1.0, bytes_done / max(1, file.size))
    if share < 0.01:
        return None
    return (now - file.started_at).total_seconds() * (1.0 - share) / share


def _changed(file: RequestFile, at: datetime, **fields: Any) -> RequestFile:
    return replace(file, version=file.version + 1, updated_at=at, **fields)
