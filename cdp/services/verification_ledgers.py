"""The ledgers that others keep, held against ours: what callers were told, what providers took.

Both are files of NDJSON, one line an entry, of any length: nothing here holds a whole file.
"""

import contextlib
import heapq
import json
import tempfile
from collections.abc import Callable, Container, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from cdp.domain.ids import ID_BYTES, id_from_text
from cdp.domain.result_audit import address_mark

MARK_BYTES: Final = 8
RECORD_BYTES: Final = ID_BYTES + MARK_BYTES
SORTED_AT_ONCE: Final = 200_000
FOREIGN_KEPT: Final = 100
CHUNK: Final = 1_000
_NO_MARK: Final = bytes(MARK_BYTES)


def callers_ids(path: Path) -> Iterator[list[tuple[int, bytes | None]]]:
    """What was answered 202: line numbers and ids, in chunks; None for what is no id."""
    with path.open(encoding="utf-8") as file:
        numbered = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        while chunk := list(islice(numbered, CHUNK)):
            yield [(number, _id_in(line, "id")) for number, line in chunk]


def _id_in(line: str, name: str) -> bytes | None:
    entry = _entry(line)
    try:
        return id_from_text(str(entry[name]))
    except (KeyError, ValueError):
        return None


def _entry(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        entry = json.loads(line)
        if isinstance(entry, dict):
            return entry
    return {}


class ProviderLedger:
    """What a provider says it took, in the order of our ids. Use it in a `with`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: list[IO[bytes]] = []
        self._entries: Iterator[bytes] = iter(())
        self._next: bytes | None = None
        self.entries = 0
        self.foreign: list[str] = []
        """Message-IDs that are none of ours: the first of them."""
        self.foreign_total = 0

    def __enter__(self) -> "ProviderLedger":
        with self._path.open(encoding="utf-8") as file:
            records = self._records(file)
            while run := sorted(islice(records, SORTED_AT_ONCE)):
                self._runs.append(_stored(run))
        self._entries = heapq.merge(*(_read(run) for run in self._runs))
        self._next = next(self._entries, None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for run in self._runs:
            run.close()

    def _records(self, lines: Iterator[str]) -> Iterator[bytes]:
        for line in lines:
            if not line.strip():
                continue
            self.entries += 1
            entry = _entry(line)
            message_id = str(entry.get("message_id", ""))
            recipient = entry.get("recipient")
            mark = address_mark(str(recipient)) if recipient else _NO_MARK
            try:
                yield id_from_text(message_id.strip().lstrip("<").partition("@")[0]) + mark
            except ValueError:
                self.foreign_total += 1
                if len(self.foreign) < FOREIGN_KEPT:
                    self.foreign.append(message_id)

    def before(
        self, boundary: bytes | None, *, known: Container[bytes], stray: Callable[[bytes], None]
    ) -> dict[bytes, list[bytes]]:
        """The entries of those results before the boundary that are known.

        Args:
            boundary: None for all that is left.
            known: the results that are being looked at.
            stray: is told of each entry whose result is not among them.
        """
        found: dict[bytes, list[bytes]] = {}
        while self._next is not None and (boundary is None or self._next[:ID_BYTES] < boundary):
            result_id, mark = self._next[:ID_BYTES], self._next[ID_BYTES:]
            if result_id in known:
                found.setdefault(result_id, []).append(b"" if mark == _NO_MARK else mark)
            else:
                stray(result_id)
            self._next = next(self._entries, None)
        return found


def _stored(run: list[bytes]) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with its ledger
    file.writelines(run)
    file.seek(0)
    return file


def _read(run: IO[bytes]) -> Iterator[bytes]:
    while record := run.read(RECORD_BYTES):
        yield record
