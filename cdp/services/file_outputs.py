"""What is made of a file for its sender: the rows that were rejected, and what became of each.

Both are read from what is stored, a piece at a time, so they may be as long as the file. What is
not there any more is not passed over: the last line says so.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from cdp.domain.ids import BatchId, RequestId, ResultId, derived_id, text_of
from cdp.domain.request_file import AHEAD, ROWS_REJECTED, STRETCH, RequestFile
from cdp.file_formats.csv_output import csv_lines
from cdp.ports.object_store import ObjectMissing, ObjectStore
from cdp.services.reject_files import REJECT_COLUMNS
from cdp.storage.delivery_results import DeliveryResults
from cdp.telemetry import Telemetry

log = logging.getLogger(__name__)

PAGE_ROWS: Final = 1_000
RESULT_COLUMNS: Final = (
    "row", "id", "state", "recipient", "reference", "attempts", "accepted_at", "delivered_at",
    "failure_class", "failure_reason", "failure_code", "provider",
)  # fmt: skip
REJECTED: Final = "rejected"
MISSING: Final = "rows_missing"
"""In the last line, where rows are not there that should be: its code, or state."""


class FileOutputs:
    """Reads a file's rejects and results."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        results: DeliveryResults,
        id_key: bytes,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._results = results
        self._id_key = id_key
        self._telemetry = telemetry

    async def rejects(self, file: RequestFile) -> AsyncGenerator[bytes, None]:
        """CSV: row, column, code, reason, and the row as it stands in the file."""
        yield csv_lines([REJECT_COLUMNS])
        checkpoint = file.checked if not file.checkpoint.parts and file.checked else file.checkpoint
        gone = 0
        for part in range(checkpoint.parts):
            try:
                async with aclosing(self._store.read(file.rejects_key(part))) as pieces:
                    async for piece in pieces:
                        yield piece
            except ObjectMissing:
                gone += 1
        if gone:
            self._note_loss(file, "rejects")
            reason = (
                f"This list is not whole: {gone:,} of its {checkpoint.parts:,} parts are not "
                f"stored any more. In all {checkpoint.counts.rejected:,} rows were rejected."
            )
            yield csv_lines([(None, None, MISSING, reason, None)])

    async def results(self, file: RequestFile) -> AsyncGenerator[bytes, None]:
        """CSV: one line for each row that was read so far, in their order."""
        yield csv_lines([RESULT_COLUMNS])
        last, without = file.checkpoint.counts.rows, 0
        for begin in range(1, last + 1, PAGE_ROWS):
            numbers = range(begin, min(begin + PAGE_ROWS, last + 1))
            found = await self._found(file, numbers)
            without += len(numbers) - len(found)
            yield csv_lines([_result_row(number, found.get(number)) for number in numbers])
        if file.ended_early:
            # Of the stretches that were under way when it ended some rows were taken in.
            for begin in range(last + 1, last + AHEAD * STRETCH + 1, PAGE_ROWS):
                found = await self._found(file, range(begin, begin + PAGE_ROWS))
                yield csv_lines([_result_row(number, found[number]) for number in sorted(found)])
        lost = without - file.checkpoint.counts.rejected
        if lost > 0 and file.reason != ROWS_REJECTED:
            self._note_loss(file, "results")
            reason = f"The results of {lost:,} rows above are not kept any more."
            yield csv_lines([_row(None, state=MISSING, failure_reason=reason)])

    async def _found(
        self, file: RequestFile, numbers: Sequence[int]
    ) -> dict[int, Mapping[str, Any]]:
        ids = {self.result_id(file, number): number for number in numbers}
        found = await self._results.of_request(file.client_id, list(ids))
        return {ids[document["_id"]]: document for document in found}

    def _note_loss(self, file: RequestFile, what: str) -> None:
        log.error("what was stored of a file is gone", extra={"file": file.id.hex(), "of": what})
        self._telemetry.count("cdp_file_rows_lost", of=what)

    def result_id(self, file: RequestFile, number: int) -> ResultId:
        """The id of what a row became, or would have."""
        request_id = RequestId(derived_id(BatchId(file.id), number, key=self._id_key))
        return ResultId(request_id)


def _result_row(number: int, result: Mapping[str, Any] | None) -> Sequence[Any]:
    if result is None:
        return _row(number, state=REJECTED)
    failure = result.get("failure") or {}
    return (
        number,
        text_of(result["_id"]),
        result["status"],
        result["recipient"],
        result.get("reference"),
        result.get("attempt", 0),
        result["created_at"],
        result.get("delivered_at"),
        failure.get("class"),
        failure.get("reason"),
        failure.get("code"),
        result.get("provider"),
    )


def _row(number: int | None, **cells: str) -> Sequence[Any]:
    return (number, *(cells.get(column) for column in RESULT_COLUMNS[1:]))
