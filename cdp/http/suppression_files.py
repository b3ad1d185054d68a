"""`/suppressions/import` and `/suppressions/export`: the list as a file, however long it is."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cdp.channels.table import CHANNELS
from cdp.domain.ids import ClientId
from cdp.domain.suppression import Suppression
from cdp.errors import CdpError, Invalid
from cdp.http.answer import Answer, StreamedAnswer, json_answer
from cdp.http.batch_results import CSV, raw_of
from cdp.http.batches import NDJSON
from cdp.http.body import BATCH_BYTES_MAX, Body, media_type
from cdp.http.call import Call
from cdp.http.chunk_intake import PAUSE_ITEMS
from cdp.http.items import line_items
from cdp.http.json_input import validate
from cdp.http.parameters import known_parameters
from cdp.http.problems import document_of
from cdp.http.suppression_models import ENTRIES_MAX, SuppressionRowIn
from cdp.http.suppression_rows import (
    Defaults,
    csv_head,
    csv_lines,
    csv_rows,
    entry_of,
    json_lines,
    json_rows,
)
from cdp.services.suppression_service import SuppressionService

log = logging.getLogger(__name__)

PROBLEMS_MAX: Final = 1_000
"""Rejected rows that an answer lists."""
PAGE: Final = 1_000
FORMATS: Final = ("csv", "ndjson")
SOURCE: Final = "import"

_FILTERS: Final = ("channel", "topic", "reason")


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the rows so far."""

    rows: int = 0
    kept: int = 0
    stopped: int = 0
    problems: list[tuple[int, CdpError]] = field(default_factory=list)
    """The first `PROBLEMS_MAX`, with the number of the row."""

    @property
    def rejected(self) -> int:
        """Rows that are no entries."""
        return self.rows - self.kept

    def reject(self, error: CdpError) -> None:
        """Note the row that was counted last."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append((self.rows, error))


async def import_suppressions(call: Call) -> Answer:
    """Keep the entries of a file, chunk by chunk as it comes."""
    known_parameters(call, frozenset(_FILTERS))
    kind = media_type(call.headers, CSV, NDJSON)
    defaults = checked_defaults({n: call.query[n] for n in _FILTERS if n in call.query})
    body = Body(call.headers, call.receive, limit=BATCH_BYTES_MAX)
    lines = line_items(body.pieces())
    tally = Tally()
    await keep_rows(
        csv_rows(lines, defaults) if kind == CSV else json_rows(lines, defaults),
        service=call.services.suppressions,
        made=lambda row: entry_of(
            call.caller.client.id, row, source=SOURCE, now=call.services.clock.now()
        ),
        tally=tally,
    )
    if not tally.rows:
        raise Invalid.at("", "empty", "The file has no rows.")
    return json_answer(
        {
            "rows": tally.rows,
            "kept": tally.kept,
            "rejected": tally.rejected,
            "stopped": tally.stopped,
            "problems": [
                {"row": number, "problem": document_of(error)} for number, error in tally.problems
            ],
        }
    )


def checked_defaults(given: Defaults) -> Defaults:
    """What rows may leave out, if it is what a row may say.

    Raises:
        Invalid: it is not.
    """
    # A row that is right whatever its channel is, but for what was given.
    probe = {"channel": "email", "recipient": "a@example.org", **given}
    try:
        validate(SuppressionRowIn, probe)
    except Invalid as error:
        raise Invalid(
            [replace(each, pointer=each.pointer.removeprefix("/")) for each in error.errors]
        ) from None
    return given


async def keep_rows(
    rows: AsyncIterator[SuppressionRowIn | CdpError],
    *,
    service: SuppressionService,
    made: Callable[[SuppressionRowIn], Suppression | Invalid],
    tally: Tally,
) -> None:
    """Keep what is an entry of these rows, so many at once."""
    chunk: list[Suppression] = []

    async def keep() -> None:
        tally.stopped += await service.suppress(chunk)
        tally.kept += len(chunk)
        chunk.clear()

    async for row in rows:
        tally.rows += 1
        entry = row if isinstance(row, CdpError) else made(row)
        if isinstance(entry, Suppression):
            chunk.append(entry)
        else:
            tally.reject(entry)
        if len(chunk) >= ENTRIES_MAX:
            await keep()
        elif tally.rows % PAUSE_ITEMS == 0:
            await asyncio.sleep(0)
    if chunk:
        await keep()


async def export_suppressions(call: Call) -> Answer:
    """All entries that fit, as one file."""
    known_parameters(call, frozenset({*_FILTERS, "format", "raw"}))
    form, raw = call.query.get("format", "csv"), raw_of(call)
    if form not in FORMATS:
        raise Invalid.at("format", "unknown", "One of: csv, ndjson.")
    named: dict[str, str] = {n: call.query[n] for n in _FILTERS if n in call.query}
    if named.get("channel", "email") not in CHANNELS:
        raise Invalid.at("channel", "unknown", "There is no such channel.")
    pages = exported(call.services.suppressions, call.caller.client.id, named)
    # What can be refused is refused before the file begins.
    first = await anext(pages)
    is_csv = form == "csv"
    return StreamedAnswer(
        status=200,
        body=b"",
        content_type=b"text/csv; charset=utf-8" if is_csv else NDJSON.encode(),
        headers=(
            (
                b"content-disposition",
                f'attachment; filename="suppressions.{form}"'.encode(),
            ),
        ),
        pieces=_pieces(first, pages, is_csv=is_csv, raw=raw),
    )


async def _pieces(
    first: Sequence[Suppression],
    pages: AsyncIterator[Sequence[Suppression]],
    *,
    is_csv: bool,
    raw: bool,
) -> AsyncGenerator[bytes, None]:
    """The file, a page at a time."""

    def lines(page: Sequence[Suppression]) -> bytes:
        return csv_lines(page, raw=raw) if is_csv else json_lines(page)

    yield (csv_head() if is_csv else b"") + lines(first)
    async for page in pages:
        yield lines(page)


async def exported(
    service: SuppressionService, client_id: ClientId, named: Mapping[str, str]
) -> AsyncIterator[Sequence[Suppression]]:
    """The entries page by page; one page at least."""
    after: bytes | None = None
    while True:
        page = await service.page(client_id, named=named, after=after, limit=PAGE)
        yield page
        if len(page) < PAGE:
            return
        after = page[-1].id
