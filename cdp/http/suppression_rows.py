"""The suppression list as a file: rows into entries, and entries into rows.

One line is one row, also of CSV: nothing that an entry holds has a line break in it. So a file is
read as it comes, and what is wrong with one row is no matter of the others.
"""

import csv
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from cdp.channels.table import CHANNELS
from cdp.domain.ids import ClientId, text_of
from cdp.domain.suppression import Suppression, SuppressionReason
from cdp.errors import CdpError, FieldError, Invalid, PayloadTooLarge
from cdp.file_formats import csv_output
from cdp.http.json_input import loads, validate
from cdp.http.problems import Malformed
from cdp.http.suppression_models import SuppressionIn, SuppressionRowIn
from cdp.services.suppression_service import suppressed_as

ROW_BYTES_MAX: Final = 64 * 1024
COLUMNS: Final = ("channel", "recipient", "topic", "reason", "note", "source", "created_at", "id")
_BOM: Final = b"\xef\xbb\xbf"

Defaults = Mapping[str, str]
"""What a row has that does not say it itself, such as the channel of all of a file."""


async def csv_rows(
    lines: AsyncIterator[bytes], defaults: Defaults
) -> AsyncIterator[SuppressionRowIn | CdpError]:
    """The rows of CSV (RFC 4180), each checked; its head says what the columns are.

    Raises:
        Invalid: the head is missing, or names a column that there is not.
    """
    head: Sequence[str] | None = None
    async for line in lines:
        if head is None:
            head = _head(line.removeprefix(_BOM))
            continue
        try:
            values = _cells(line, head)
        except CdpError as error:
            yield error
        else:
            yield _row(values, defaults)
    if head is None:
        raise Invalid.at("", "empty", "The file is empty.")


async def json_rows(
    lines: AsyncIterator[bytes], defaults: Defaults
) -> AsyncIterator[SuppressionRowIn | CdpError]:
    """The rows of NDJSON, each checked."""
    async for line in lines:
        try:
            if len(line) > ROW_BYTES_MAX:
                raise _too_long()
            values = loads(line.removeprefix(_BOM))
        except CdpError as error:
            yield error
        else:
            yield _row(values, defaults)


def _head(line: bytes) -> list[str]:
    names = [name.strip().lower() for name in _parsed(line)]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or len(set(names)) < len(names) or "recipient" not in names:
        columns = ", ".join(COLUMNS)
        detail = f"The first line names the columns, each once: recipient, and any of {columns}."
        raise Invalid([FieldError(pointer="", code="head_invalid", detail=detail)])
    return names


def _cells(line: bytes, head: Sequence[str]) -> dict[str, str]:
    cells = _parsed(line)
    if len(cells) != len(head):
        raise Malformed(f"The row has {len(cells)} cells, and the head has {len(head)}.")
    return {name: _told(name, cell) for name, cell in zip(head, cells, strict=True) if cell.strip()}


def _parsed(line: bytes) -> list[str]:
    if len(line) > ROW_BYTES_MAX:
        raise _too_long()
    try:
        text = line.rstrip(b"\r").decode()
        return next(csv.reader([text], strict=True))
    except UnicodeDecodeError:
        raise Malformed("The row is not UTF-8.") from None
    except (csv.Error, StopIteration):
        raise Malformed("The row is not CSV: a quote is not closed, or stands in a cell.") from None


def _too_long() -> PayloadTooLarge:
    return PayloadTooLarge(f"The row is longer than {ROW_BYTES_MAX // 1024} KiB.")


def _told(name: str, cell: str) -> str:
    """A cell without the quote that our own export puts before what looks like a formula."""
    if name not in ("topic", "note"):
        cell = cell.strip()
    return csv_output.plain_cell(cell)


def _row(values: Any, defaults: Defaults) -> SuppressionRowIn | CdpError:
    if isinstance(values, dict):
        said = {name: value for name, value in values.items() if value is not None}
        values = {**defaults, **said}
    try:
        return validate(SuppressionRowIn, values)
    except CdpError as error:
        return error


def entry_of(
    client_id: ClientId, given: SuppressionIn, *, source: str, now: datetime
) -> Suppression | Invalid:
    """The entry that was given, with its recipient in the one form of its channel."""
    try:
        recipient = recipient_on(given.channel, given.recipient)
    except ValueError as error:
        wrong = FieldError(pointer="/recipient", code="address_invalid", detail=f"{error}.")
        return Invalid([wrong])
    return Suppression(
        client_id=client_id,
        channel=given.channel,
        recipient=recipient,
        topic=given.topic,
        reason=SuppressionReason(given.reason),
        source=source,
        note=given.note,
        created_at=now,
    )


def recipient_on(channel: str, address: str) -> str:
    """The form under which this address is suppressed.

    Raises:
        ValueError: it is no address of this channel.
    """
    return suppressed_as(channel, CHANNELS[channel].address(address))


def suppression_view(entry: Suppression) -> dict[str, Any]:
    """An entry, as callers get to see it."""
    return {
        "id": text_of(entry.id),
        "channel": entry.channel,
        "recipient": entry.recipient,
        "topic": entry.topic,
        "reason": entry.reason.value,
        "source": entry.source,
        "note": entry.note,
        "created_at": entry.created_at,
    }


def csv_head() -> bytes:
    """The first line of an export."""
    return csv_output.csv_lines([COLUMNS])


def csv_lines(entries: Iterable[Suppression], *, raw: bool) -> bytes:
    """Entries as CSV. Unless `raw`, no cell is one that a spreadsheet would run (rule A9)."""
    views = (suppression_view(entry) for entry in entries)
    return csv_output.csv_lines(([view[c] for c in COLUMNS] for view in views), raw=raw)


def json_lines(entries: Iterable[Suppression]) -> bytes:
    """Entries as NDJSON."""
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
    return b"".join(orjson.dumps(suppression_view(entry), option=option) for entry in entries)
