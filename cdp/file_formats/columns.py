"""From a row of cells to the object that a POST would have as its body, and back for its errors.

The header is looked at once for each channel and becomes a plan; a row is then only filled in. An
empty cell is a field that is left out. Values are texts, but for the few fields that are none.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from cdp.errors import pointer_of
from cdp.file_formats.csv_output import plain_cell
from cdp.file_formats.csv_rows import CsvRow
from cdp.file_formats.faults import FileRefused, RowFault
from cdp.file_formats.headers import folded
from cdp.file_formats.reserved import (
    COLUMNS,
    DATA,
    FAULT_OF,
    ROOTS,
    ChannelColumns,
    Convert,
    Path,
)

NAME_PARTS_MAX: Final = 8
_CHANNELS: Final = {folded(channel): channel for channel in COLUMNS}
_FORBIDDEN: Final = frozenset({"constructor", "prototype"})
_NO_IDENTIFIER: Final = re.compile(r"[\s-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDefaults:
    """What an upload says for all rows that do not say it themselves. Times are as in a POST."""

    channel: str | None = None
    template: str | None = None
    campaign: str | None = None
    segment: str | None = None
    topic: str | None = None
    priority: str | None = None
    send_at: str | None = None
    expires_at: str | None = None

    def given(self) -> dict[str, str]:
        """Those that say something."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in named if value is not None}


def with_defaults(value: Any, defaults: Mapping[str, str]) -> Any:
    """A request with what it does not say itself; what is no object stays as it is.

    A template is not added to what has its content with it: of these only one may be there.

    Args:
        value: plain values, such as those of a line of NDJSON.
        defaults: what `UploadDefaults.given` returned.
    """
    if not isinstance(value, dict):
        return value
    added = {name: default for name, default in defaults.items() if name not in value}
    if value.get("content") is not None:
        added.pop("template", None)
    return {**value, **added}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlaces:
    """Where the cells of one column go."""

    name: str
    """As the header writes it."""
    pointers: Mapping[str, str]
    """By channel, into the request that a row makes. Of channels that have no such field, or that
    no column has an address of, nothing."""


@dataclass(frozen=True, slots=True)
class _Cell:
    index: int
    path: Path
    convert: Convert


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Where the cells of a row go, on one channel."""

    data: tuple[tuple[int, str], ...]
    """Of personalisation data those that do not nest: most, and filled in at once."""
    fields: tuple[_Cell, ...]
    foreign: tuple[int, ...]
    """Columns that only other channels have; nothing may stand in them."""
    pointers: Mapping[str, str]
    """The header of the column from which a value came, by its pointer."""
    has_address: bool


class Columns:
    """What the columns of one file mean."""

    def __init__(self, header: Sequence[str], defaults: UploadDefaults) -> None:
        """Look at the header.

        Raises:
            FileRefused: a name can't be used, two say one thing, or the channel or the address is
                missing.
        """
        self._header = header
        self._defaults = defaults.given()
        by_name = {folded(name): index for index, name in enumerate(header)}
        self._channel_at = by_name.get("channel")
        channel = defaults.channel
        if channel is not None and channel not in COLUMNS:
            raise FileRefused("channel_unknown", f"There is no channel named {channel}.")
        if self._channel_at is None:
            if channel is None:
                detail = "Say of the upload what its channel is, or have a column named channel."
                raise FileRefused("channel_missing", detail)
            self._plans = {channel: _plan(header, channel, is_only=True)}
        else:
            self._plans = {each: _plan(header, each, is_only=False) for each in COLUMNS}
        if not any(plan.has_address for plan in self._plans.values()):
            raise FileRefused("address_missing", _no_address(channel))

    def places(self) -> list[ColumnPlaces]:
        """Where each column goes, in their order."""
        usable = {channel: plan for channel, plan in self._plans.items() if plan.has_address}
        by_name: dict[str, dict[str, str]] = {name: {} for name in self._header}
        for channel, plan in usable.items():
            for pointer, name in plan.pointers.items():
                by_name[name][channel] = pointer
        if self._channel_at is not None:
            by_name[self._header[self._channel_at]] = dict.fromkeys(usable, "/channel")
        return [ColumnPlaces(name=name, pointers=found) for name, found in by_name.items()]

    def request_of(self, row: CsvRow) -> dict[str, Any] | list[RowFault]:
        """The object that a POST would have as its body, or what is wrong with the row."""
        if row.fault is not None:
            return [row.fault]
        cells = row.cells
        channel = self._channel_of(cells)
        if channel not in self._plans:
            detail = f"The channel must be one of: {', '.join(COLUMNS)}."
            at = "" if self._channel_at is None else self._header[self._channel_at]
            return [RowFault(row=row.number, code="channel_unknown", detail=detail, column=at)]
        plan = self._plans[channel]
        if not plan.has_address:
            detail = _no_address(channel)
            return [RowFault(row=row.number, code="address_missing", detail=detail)]
        data = {
            key: cell if cell[0] != "'" else plain_cell(cell)
            for index, key in plan.data
            if (cell := cells[index]) and not cell.isspace()
        }
        request: dict[str, Any] = {"channel": channel, "to": [{"data": data} if data else {}]}
        faults = [*self._fill(request, plan, row), *self._foreign(plan, row, channel)]
        return faults or with_defaults(request, self._defaults)

    def column_of(self, pointer: str, channel: str) -> str:
        """The header of the column from which a value of a request came; empty if of none.

        Of a field that is made of several columns, the first one.
        """
        pointers = self._plans[channel].pointers
        above = pointer
        while above:
            if above in pointers:
                return pointers[above]
            above = above.rpartition("/")[0]
        if not pointer:
            return ""
        below = f"{pointer}/"
        return next((name for each, name in pointers.items() if each.startswith(below)), "")

    def _channel_of(self, cells: Sequence[str]) -> str:
        said = "" if self._channel_at is None else cells[self._channel_at].strip()
        if not said:
            return self._defaults.get("channel", "")
        return _CHANNELS.get(folded(said), said)

    def _fill(self, request: dict[str, Any], plan: _Plan, row: CsvRow) -> Iterator[RowFault]:
        for field in plan.fields:
            cell = row.cells[field.index]
            if field.path[:3] != DATA:
                cell = cell.strip()
            if not cell or cell.isspace():
                continue
            try:
                value = field.convert(plain_cell(cell))
            except ValueError as error:
                yield RowFault(
                    row=row.number,
                    code=FAULT_OF[field.convert],
                    detail=f"In this column {error}.",
                    column=self._header[field.index],
                    pointer=pointer_of(field.path),
                )
            else:
                _put(request, field.path, value)

    def _foreign(self, plan: _Plan, row: CsvRow, channel: str) -> Iterator[RowFault]:
        for index in plan.foreign:
            if row.cells[index].strip():
                detail = f"A request on the channel {channel} has no such field."
                column = self._header[index]
                yield RowFault(row=row.number, code="column_foreign", detail=detail, column=column)


def _put(request: dict[str, Any], path: Path, value: Any) -> None:
    at: Any = request
    for part in path[:-1]:
        at = at[part] if isinstance(part, int) else at.setdefault(part, {})
    at[path[-1]] = value


def _no_address(channel: str | None) -> str:
    if channel is None:
        return "No column has an address, such as: email, phone, device_token, user, url."
    shown = [
        each.shown for each in COLUMNS[channel].fields.values() if _is_address(each.path, channel)
    ]
    return f"No column has the address. It may be called: {', '.join(shown)}."


def _is_address(path: Path, channel: str) -> bool:
    return path in COLUMNS[channel].addresses


def _plan(header: Sequence[str], channel: str, *, is_only: bool) -> _Plan:
    """What a header means on one channel.

    Args:
        header: the names of the columns.
        channel: which.
        is_only: whether all rows are on it.

    Raises:
        FileRefused: a name can't be used, or two say one thing.
    """
    columns = COLUMNS[channel]
    cells: list[_Cell] = []
    foreign: list[int] = []
    for index, name in enumerate(header):
        parts = [part.strip() for part in name.split(".")]
        key = ".".join(folded(part) for part in parts)
        if key == "channel":
            continue
        if (field := columns.fields.get(key)) is not None:
            cells.append(_Cell(index, field.path, field.convert))
        elif (path := _named_path(parts, columns, name)) is not None:
            cells.append(_Cell(index, path, str))
        elif folded(parts[0]) in ROOTS[channel]:
            if is_only or not _is_field_elsewhere(parts, key, name):
                raise _no_such_field(name, channel)
            foreign.append(index)
        else:
            cells.append(_Cell(index, (*DATA, *_keys(parts, name)), str))
    _check_apart(cells, header)
    flat = {c.index: str(c.path[3]) for c in cells if c.path[:3] == DATA and len(c.path) == 4}
    return _Plan(
        data=tuple(flat.items()),
        fields=tuple(cell for cell in cells if cell.index not in flat),
        foreign=tuple(foreign),
        pointers={pointer_of(cell.path): header[cell.index] for cell in cells},
        has_address=any(_is_address(cell.path, channel) for cell in cells),
    )


def _named_path(parts: Sequence[str], columns: ChannelColumns, name: str) -> Path | None:
    """Where a column goes that is of a group, such as `metadata.order`."""
    for length in (2, 1):
        group = columns.groups.get(".".join(folded(part) for part in parts[:length]))
        if group is not None and len(parts) > length:
            rest = parts[length:]
            return (
                *group.path,
                *(_keys(rest, name) if group.nests else [_safe(".".join(rest), name)]),
            )
    return None


def _is_field_elsewhere(parts: Sequence[str], key: str, name: str) -> bool:
    return any(
        key in columns.fields or _named_path(parts, columns, name) is not None
        for columns in COLUMNS.values()
    )


def _no_such_field(name: str, channel: str) -> FileRefused:
    root = folded(name.partition(".")[0])
    columns = COLUMNS[channel]
    known = [each.shown for key, each in columns.fields.items() if key.startswith(f"{root}.")]
    known += [f"{key}.…" for key in columns.groups if key.partition(".")[0] == root]
    detail = f"On the channel {channel} there is no field {name!r}."
    if known:
        detail += f" There is: {', '.join(known)}."
    return FileRefused("column_forbidden", detail, column=name)


def _keys(parts: Sequence[str], name: str) -> list[str]:
    """The names of personalisation data, in the form that a template can write."""
    if len(parts) > NAME_PARTS_MAX:
        detail = f"The column {name!r} nests deeper than {NAME_PARTS_MAX} levels."
        raise FileRefused("column_forbidden", detail, column=name)
    return [_NO_IDENTIFIER.sub("_", _safe(part, name)) for part in parts]


def _safe(part: str, name: str) -> str:
    """A name that is harmless wherever an object is made of it."""
    part = unicodedata.normalize("NFC", part)
    if not folded(part):
        detail = f"In the column {name!r} there is nothing before or behind a dot."
    elif part.startswith(("$", "__")) or folded(part) in _FORBIDDEN:
        detail = f"The column {name!r} has a name that is not allowed."
    else:
        return part
    raise FileRefused("column_forbidden", detail, column=name)


def _check_apart(cells: Sequence[_Cell], header: Sequence[str]) -> None:
    """Check that no two columns go to one place, and none into what is another's value."""
    ends: dict[Path, str] = {}
    for cell in cells:
        name = header[cell.index]
        path = tuple(folded(part) if isinstance(part, str) else part for part in cell.path)
        if path in ends:
            detail = f"The columns {ends[path]!r} and {name!r} say the same thing."
            raise FileRefused("column_twice", detail, column=name)
        ends[path] = name
    for path, name in ends.items():
        for length in range(1, len(path)):
            if path[:length] in ends:
                other = ends[path[:length]]
                detail = f"The column {name!r} would be inside of the column {other!r}."
                raise FileRefused("column_conflict", detail, column=name)
