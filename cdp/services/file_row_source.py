"""`RowSource`: the rows of a stored file, whatever its format, from wherever somebody left off."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

from cdp.domain.request_file import ROWS_MAX, STRETCH, Checkpoint, RequestFile
from cdp.file_formats.columns import Columns, UploadDefaults
from cdp.file_formats.csv_output import csv_lines
from cdp.file_formats.csv_rows import CsvLayout, CsvReader, CsvRow, Position
from cdp.file_formats.faults import FileRefused
from cdp.file_formats.ndjson_rows import NdjsonReader, NdjsonRow
from cdp.file_formats.reading import FileKind, batches, kind_of, plain_bytes
from cdp.ports.object_store import ObjectMissing, ObjectStore
from cdp.ports.row_intake import FileRow, FileUnreadable, Stretch

STRETCH_BYTES: Final = 4 * 1024**2
"""Of the file, between two checkpoints, and some hundred kilobytes more: what is held in memory."""
PLAIN_BYTES_MAX: Final = 20 * 1024**3
"""Decompressed."""
TEXT_MAX: Final = 1_000
_DEFAULTS: Final = tuple(UploadDefaults.__dataclass_fields__)


class StoredBytes:
    """A stored file as the readers want it, which knows how much of it was read."""

    def __init__(self, store: ObjectStore, file: RequestFile) -> None:
        self._store = store
        self._key = file.key
        self.size = file.size
        self.read_to = 0

    async def read(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Its bytes from there on."""
        self.read_to = offset
        async with aclosing(self._store.read(self._key, offset=offset)) as chunks:
            async for chunk in chunks:
                self.read_to += len(chunk)
                yield chunk


class FileRows:
    """Reads files out of object storage."""

    def __init__(self, *, store: ObjectStore) -> None:
        self._store = store

    async def stretches(
        self, file: RequestFile, begin: Checkpoint
    ) -> AsyncGenerator[Stretch, None]:
        """See `RowSource.stretches`."""
        source = StoredBytes(self._store, file)
        rows = opened_rows(file, begin)
        gathered: list[Any] = []
        refusal: FileUnreadable | None = None
        until = rows.offset + STRETCH_BYTES
        try:
            pieces = plain_bytes(source, bytes_max=PLAIN_BYTES_MAX, offset=rows.offset)
            async with aclosing(batches(pieces, rows.reader)) as read:
                async for some in read:
                    gathered += some
                    while gathered and (len(gathered) >= STRETCH or gathered[-1].offset >= until):
                        done = gathered[:STRETCH]
                        del gathered[:STRETCH]
                        _require_not_too_many(done[-1].number)
                        until = done[-1].offset + STRETCH_BYTES
                        yield _stretch(rows, done, source)
        except (ObjectMissing, FileRefused) as error:
            refusal = unreadable(error)
        # The rows before that are good, and are not lost by it.
        if gathered:
            yield _stretch(rows, gathered, source)
        if refusal is not None:
            raise refusal


def opened_rows(file: RequestFile, begin: Checkpoint) -> "CsvFile | NdjsonFile":
    """The rows of a file from there on, of which nothing is read yet.

    Raises:
        FileUnreadable: what was declared of it is not known.
    """
    try:
        return NdjsonFile(file, begin) if is_ndjson(file) else CsvFile(file, begin)
    except FileRefused as refused:
        raise unreadable(refused) from None


def _stretch(rows: "CsvFile | NdjsonFile", done: Sequence[Any], source: StoredBytes) -> Stretch:
    position = dict(rows.position_of(done[-1]))
    # What was read is ahead of the rows; of a packed file it is all that can be said.
    position["source_offset"] = min(position["offset"], source.read_to)
    try:
        return Stretch(rows=[rows.row(each) for each in done], position=position)
    except FileRefused as refused:
        # Only now is looked at what the columns mean.
        raise unreadable(refused) from None


def unreadable(error: ObjectMissing | FileRefused) -> FileUnreadable:
    """The same for whoever asked for rows."""
    if isinstance(error, ObjectMissing):
        return FileUnreadable("object_missing", "The stored file has gone.")
    where = "" if error.line is None else f" (line {error.line})"
    return FileUnreadable(error.code, f"{error.detail}{where}")


def is_ndjson(file: RequestFile) -> bool:
    """Whether a file is NDJSON: as was declared, or as its name says; else it is CSV."""
    declared = file.options.get("format")
    if declared is not None:
        return bool(declared == "ndjson")
    return kind_of(file.name) is FileKind.NDJSON


def defaults_of(options: Mapping[str, Any]) -> UploadDefaults:
    """What the file's options say for rows that do not say it."""
    given = {name: options[name] for name in _DEFAULTS if name in options}
    return UploadDefaults(
        **{n: v.isoformat() if isinstance(v, datetime) else v for n, v in given.items()}
    )


class CsvFile:
    """A CSV, and what its columns mean."""

    def __init__(self, file: RequestFile, begin: Checkpoint) -> None:
        self._defaults = defaults_of(file.options)
        self._columns: Columns | None = None
        self.offset = 0
        at = begin.position
        if at is None:
            self.reader = CsvReader(
                encoding=file.options.get("encoding"), delimiter=file.options.get("delimiter")
            )
        else:
            layout = CsvLayout(
                encoding=at["encoding"], delimiter=at["delimiter"], header=tuple(at["header"])
            )
            position = Position(at["rows"], at["offset"], at["lines"])
            self.reader = CsvReader.resumed(layout, position)
            self.offset = position.offset

    @property
    def _layout(self) -> CsvLayout:
        assert self.reader.layout is not None
        return self.reader.layout

    @property
    def columns(self) -> Columns:
        """What the columns mean, once the header was read.

        Raises:
            FileRefused: they won't do.
        """
        if self._columns is None:
            self._columns = Columns(self._layout.header, self._defaults)
        return self._columns

    def position_of(self, row: CsvRow) -> Mapping[str, Any]:
        """Behind a row, with what the header has said."""
        layout = self._layout
        said = {"encoding": layout.encoding, "delimiter": layout.delimiter}
        return {**_position(row), **said, "header": list(layout.header)}

    def row(self, row: CsvRow) -> FileRow:
        """What the row asks for."""
        columns = self.columns

        def text() -> str:
            return csv_lines([row.cells], raw=True).decode().rstrip("\r\n")[:TEXT_MAX]

        made = columns.request_of(row)
        if isinstance(made, list):
            return FileRow(number=row.number, text=text, fault=made[0])
        channel = made["channel"]
        return FileRow(
            number=row.number,
            text=text,
            request=made,
            column_of=lambda pointer: columns.column_of(pointer, channel),
        )


class NdjsonFile:
    """NDJSON, whose lines are read where requests are."""

    def __init__(self, file: RequestFile, begin: Checkpoint) -> None:
        self._defaults = defaults_of(file.options).given()
        at = begin.position
        position = None if at is None else Position(at["rows"], at["offset"], at["lines"])
        self.reader = NdjsonReader(position)
        self.offset = 0 if position is None else position.offset

    def position_of(self, row: NdjsonRow) -> Mapping[str, Any]:
        """Behind a row."""
        return _position(row)

    def row(self, row: NdjsonRow) -> FileRow:
        """What the line asks for."""

        def text() -> str:
            return row.line.decode("utf-8", "replace")[:TEXT_MAX]

        if row.fault is not None:
            return FileRow(number=row.number, text=text, fault=row.fault)
        return FileRow(number=row.number, text=text, request=row.line, defaults=self._defaults)


def _position(row: CsvRow | NdjsonRow) -> dict[str, Any]:
    return {"rows": row.number, "offset": row.offset, "lines": row.lines}


def _require_not_too_many(number: int) -> None:
    if number > ROWS_MAX:
        raise FileUnreadable("rows_too_many", f"A file has at most {ROWS_MAX:,} rows.")
