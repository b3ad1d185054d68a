"""`POST /files/{id}/preview`: the first rows of a file, as they would be sent."""

from collections.abc import Mapping
from typing import Any, Final

from cdp.channels.sms import segments_of
from cdp.domain.ids import text_of
from cdp.domain.request_file import ROWS_MAX, RequestFile
from cdp.domain.template import ANY_LOCALE
from cdp.file_formats.faults import RowFault
from cdp.http.answer import Answer, json_answer
from cdp.http.call import Call
from cdp.http.file_rows import HttpRowIntake
from cdp.http.parameters import QueryReader, id_in_path, known_parameters
from cdp.http.views import content_parts_view, sender_pair_view
from cdp.ports.row_intake import FileRow
from cdp.services.file_preview import Composition, FileHead

ROWS_DEFAULT: Final = 5
ROWS_MOST: Final = 20
FROM_ROW_MOST: Final = ROWS_MAX


async def preview_file(call: Call) -> Answer:
    """What the first rows would become; nothing is stored or sent."""
    known_parameters(call, frozenset({"rows", "from_row"}))
    reader = QueryReader(call.query)
    count = _number(reader, "rows", ROWS_MOST) or ROWS_DEFAULT
    first = _number(reader, "from_row", FROM_ROW_MOST) or 1
    reader.require_valid()
    file = await call.services.files.get(call.caller.client.id, id_in_path(call))
    head = await call.services.file_previews.head(file, first=first, count=count)
    rows, is_cut = await _rows(call, file, head)
    return json_answer(
        {
            "file_id": text_of(file.id),
            "format": head.kind,
            "packing": head.packing,
            "encoding": head.encoding,
            "delimiter": head.delimiter,
            "columns": [{"name": c.name, "pointers": dict(c.pointers)} for c in head.columns],
            "warnings": [
                {"code": w.code, "detail": w.detail, "column": w.column} for w in head.warnings
            ],
            "rows": rows,
            "has_more": is_cut or head.has_more,
            "trouble": None
            if is_cut or head.trouble is None
            else {"reason": head.trouble.reason, "detail": head.trouble.detail},
        }
    )


def _number(reader: QueryReader, name: str, most: int) -> int | None:
    def convert(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
            raise ValueError
        return int(text)

    return reader.read(name, convert, f"A number from 1 to {most}.")


async def _rows(
    call: Call, file: RequestFile, head: FileHead
) -> tuple[list[Mapping[str, Any]], bool]:
    """The rows as they are shown, and whether there was no room for all of them."""
    read = [row for row in head.rows if row.fault is None]
    requests, faults = await HttpRowIntake(call.services).requests_of(file, read)
    numbers = sorted(requests)
    made = await call.services.file_previews.compositions([requests[n] for n in numbers])
    composed = dict(zip(numbers, made, strict=False))
    shown: list[Mapping[str, Any]] = []
    for row in head.rows:
        if row.number in requests and row.number not in composed:
            return shown, True
        fault = row.fault or faults.get(row.number)
        shown.append(_row_view(row, fault, composed.get(row.number)))
    return shown, False


def _row_view(
    row: FileRow, fault: RowFault | None, composition: Composition | None
) -> Mapping[str, Any]:
    return {
        "row": row.number,
        "text": row.text(),
        "reject": None
        if fault is None
        else {"column": fault.column, "code": fault.code, "reason": fault.detail},
        "communication": None if composition is None else _composition_view(composition),
    }


def _composition_view(made: Composition) -> Mapping[str, Any]:
    request, version, parts = made.request, made.version, made.parts
    [recipient] = request.recipients
    segments = segments_of(parts["text"]) if parts and request.channel == "sms" else None
    return {
        "channel": request.channel,
        "from": None if made.sender is None else sender_pair_view(made.sender.pair),
        "to": {"address": recipient.identifier, "name": recipient.name},
        "template": None if version is None else version.name,
        "template_version": None if version is None else version.version,
        "locale": None if made.locale == ANY_LOCALE else made.locale,
        "campaign": request.campaign,
        "segment": request.segment,
        "topic": request.topic,
        "priority": request.priority.word,
        "send_at": request.send_at,
        "expires_at": request.expires_at,
        "reference": request.reference,
        "content": None if parts is None else content_parts_view(request.channel, parts),
        "sms_segments": None
        if segments is None
        else {"encoding": segments.encoding, "count": segments.count},
        "errors": [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in made.errors],
    }
