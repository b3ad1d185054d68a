"""What is made of a file for its sender: the rows that were rejected, and what became of each.

Both are read from what is stored, a piece at a time, so they may be as long as the file.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from cdp.domain.ids import BatchId, RequestId, ResultId, derived_id, text_of
from cdp.domain.request_file import RequestFile
from cdp.file_formats.csv_output import csv_lines
from cdp.ports.object_store import ObjectMissing, ObjectStore
from cdp.services.reject_files import REJECT_COLUMNS
from cdp.storage.delivery_results import DeliveryResults

PAGE_ROWS: Final = 1_000
RESULT_COLUMNS: Final = (
    "row", "id", "state", "recipient", "reference", "attempts", "accepted_at", "delivered_at",
    "failure_class", "failure_reason", "failure_code", "provider",
)  # fmt: skip
REJECTED: Final = "rejected"


class FileOutputs:
    """Reads a file's rejects and results."""

    def __init__(self, *, store: ObjectStore, results: DeliveryResults, id_key: bytes) -> None:
        self._store = store
        self._results = results
        self._id_key = id_key

    async def rejects(self, file: RequestFile) -> AsyncGenerator[bytes, None]:
        """CSV: row, column, code, reason, and the row as it stands in the file."""
        yield csv_lines([REJECT_COLUMNS])
        checkpoint = file.checked if not file.checkpoint.parts and file.checked else file.checkpoint
        for part in range(checkpoint.parts):
            try:
                async with aclosing(self._store.read(file.rejects_key(part))) as pieces:
                    async for piece in pieces:
                        yield piece
            except ObjectMissing:
                # Its time is over; the rows count as rejected all the same.
                continue

    async def results(self, file: RequestFile) -> AsyncGenerator[bytes, None]:
        """CSV: one line for each row that was read so far, in their order."""
        yield csv_lines([RESULT_COLUMNS])
        last = file.checkpoint.counts.rows
        for begin in range(1, last + 1, PAGE_ROWS):
            numbers = range(begin, min(begin + PAGE_ROWS, last + 1))
            ids = {number: self.result_id(file, number) for number in numbers}
            found = await self._results.of_request(file.client_id, list(ids.values()))
            by_id = {document["_id"]: document for document in found}
            yield csv_lines([_result_row(number, by_id.get(ids[number])) for number in numbers])

    def result_id(self, file: RequestFile, number: int) -> ResultId:
        """The id of what a row became, or would have."""
        request_id = RequestId(derived_id(BatchId(file.id), number, key=self._id_key))
        return ResultId(request_id)


def _result_row(number: int, result: Mapping[str, Any] | None) -> Sequence[Any]:
    if result is None:
        return (number, None, REJECTED, *[None] * (len(RESULT_COLUMNS) - 3))
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
