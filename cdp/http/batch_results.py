"""`/batches/{id}/results`: what became of each recipient, as JSON, CSV or NDJSON."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from cdp.domain.ids import BatchId
from cdp.errors import Invalid
from cdp.file_formats.csv_output import CONTENT_TYPE, csv_lines
from cdp.http.answer import Answer, json_answer
from cdp.http.batches import NDJSON
from cdp.http.call import Call
from cdp.http.json_body import JSON
from cdp.http.pagination import cursor_of, limit_of, page_of
from cdp.http.parameters import id_in_path, known_parameters
from cdp.http.views import result_view

CSV: Final = "text/csv"
PAGE_MAX: Final = 10_000
JSON_PAGE: Final = 500
FORMATS: Final = {"json": JSON, "csv": CSV, "ndjson": NDJSON}
COLUMNS: Final = (
    "id", "communication_id", "to", "status", "reason", "failure_class", "failure_code",
    "failure_provider", "attempts", "priority", "campaign", "segment", "reference", "send_at",
    "expires_at", "created_at", "updated_at", "delivered_at", "opened_at", "read_at",
    "clicked_at", "machine_opened_at", "machine_clicked_at",
)  # fmt: skip

_FAILURE: Final = ("class", "code", "provider")
_PARAMETERS: Final = frozenset({"limit", "cursor", "format", "raw"})


async def get_batch_results(call: Call) -> Answer:
    """A page of results in the order of their ids."""
    known_parameters(call, _PARAMETERS)
    form = _format_of(call)
    raw = raw_of(call)
    limit = limit_of(call, default=JSON_PAGE if form == JSON else PAGE_MAX, most=PAGE_MAX)
    batch_id = BatchId(id_in_path(call))
    scope = f"batch:{batch_id.hex()}"
    page = await call.services.reading.batch_results(
        call.caller.client.id, batch_id, after=cursor_of(call, scope), limit=limit + 1
    )
    answered = page_of(call, scope, page, limit=limit, position=lambda r: r.id, view=result_view)
    if form == JSON:
        return json_answer(answered)
    rows, cursor = answered["items"], answered["next_cursor"]
    headers = () if cursor is None else ((b"next-cursor", cursor.encode()),)
    if form == NDJSON:
        lines = [
            orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z) for row in rows
        ]
        return Answer(
            status=200, body=b"".join(lines), content_type=NDJSON.encode(), headers=headers
        )
    return Answer(
        status=200,
        body=csv_of(rows, raw=raw),
        content_type=CONTENT_TYPE,
        headers=(*headers, (b"content-disposition", b'attachment; filename="results.csv"')),
    )


def _format_of(call: Call) -> str:
    """The `format` parameter, else what the `Accept` header names first."""
    given = call.query.get("format")
    if given is not None:
        if given not in FORMATS:
            raise Invalid.at("format", "unknown", f"One of: {', '.join(FORMATS)}.")
        return FORMATS[given]
    for accepted in call.headers.get(b"accept", b"").decode("latin-1").split(","):
        name = accepted.partition(";")[0].strip().lower()
        if name in FORMATS.values():
            return name
    return JSON


def raw_of(call: Call) -> bool:
    """The `raw` parameter.

    Raises:
        Invalid: it is neither 0 nor 1.
    """
    given = call.query.get("raw", "0")
    if given not in ("0", "1"):
        raise Invalid.at("raw", "invalid", "This is 0 or 1.")
    return given == "1"


def csv_of(rows: Sequence[dict[str, Any]], *, raw: bool) -> bytes:
    """The rows as CSV with a head line.

    Args:
        rows: what `result_view` made.
        raw: for machines: leave cells as they are that a spreadsheet would take for formulas.
    """
    return csv_lines([COLUMNS, *(_flat(row) for row in rows)], raw=raw)


def _flat(row: dict[str, Any]) -> list[Any]:
    failure = row["failure"] or {}
    flat = row | {f"failure_{name}": failure.get(name) for name in _FAILURE}
    return [flat[column] for column in COLUMNS]
