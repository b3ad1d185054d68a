"""`RowIntake`: the rows of a file go the way of a batch's items."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.ids import BatchId
from cdp.domain.request_file import RequestFile
from cdp.errors import CdpError, Invalid, Overloaded
from cdp.file_formats.columns import with_defaults
from cdp.file_formats.faults import RowFault
from cdp.http.chunk_intake import (
    CHUNK,
    ChunkIntake,
    ChunkRules,
    Numbered,
    Tally,
    check_chunk,
    take_chunk,
)
from cdp.http.intake_services import IntakeServices
from cdp.http.items import Item, Parsed
from cdp.http.json_input import loads
from cdp.http.problems import document_of
from cdp.http.variable_names import with_matched_names
from cdp.ports.row_intake import FileRow, SenderGone, Taken
from cdp.services.access_service import Caller
from cdp.services.batch_intake import OpenBatch
from cdp.services.client_config_service import ClientConfigService
from cdp.services.row_doubles import RowDoubles

KEY: Final = "file"


class Step(Protocol):
    """`take_chunk` or `check_chunk`."""

    def __call__(
        self,
        intake: ChunkIntake,
        batch: OpenBatch,
        chunk: Sequence[tuple[int, Item]],
        tally: Tally,
        *,
        rules: ChunkRules,
    ) -> Awaitable[None]:
        """See there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Client:
    """`ChunkIntake` for a file's sender."""

    services: IntakeServices
    caller: Caller


@dataclass(slots=True, kw_only=True)
class _RowTally:
    """What became of rows, by number."""

    rows: dict[int, FileRow]
    faults: dict[int, RowFault] = field(default_factory=dict)
    later: dict[int, float] = field(default_factory=dict)
    accepted: dict[int, CommunicationRequest] = field(default_factory=dict)

    def knows(self, index: int) -> bool:
        return index in self.faults or index in self.later or index in self.accepted

    def accept(self, index: int, request: CommunicationRequest) -> None:
        self.accepted[index] = request

    def refuse(self, index: int, error: CdpError) -> None:
        if isinstance(error, Overloaded):
            # Nothing was decided on the row itself.
            self.later[index] = error.retry_after_s
        else:
            self.faults[index] = fault_of(self.rows[index], error)

    def taken(self) -> Taken:
        return Taken(
            faults=self.faults,
            later=frozenset(self.later),
            retry_after_s=max(self.later.values(), default=0.0),
        )


class RowRules(ChunkRules):
    """What holds of the rows of a file."""

    def __init__(
        self, config: ClientConfigService, file: RequestFile, doubles: RowDoubles | None
    ) -> None:
        """Without `doubles` none is looked for."""
        self._config = config
        self._file = file
        self._doubles = doubles

    async def fitted(
        self, requests: Sequence[CommunicationRequest]
    ) -> Sequence[CommunicationRequest]:
        """See `ChunkRules.fitted`: columns are named as their template's variables."""
        return await with_matched_names(self._config, requests)

    async def doubles(self, requests: Numbered) -> Mapping[int, CdpError]:
        """See `ChunkRules.doubles`: none has another's reference for the same recipient."""
        if self._doubles is None:
            return {}
        found = await self._doubles.of(self._file, dict(requests))
        return {row: _is_double(of) for row, of in found.items()}


class HttpRowIntake:
    """Lets rows in as the API lets items in."""

    def __init__(self, services: IntakeServices, doubles: RowDoubles | None = None) -> None:
        """Without `doubles` rows can be looked at, and not taken in."""
        self._services = services
        self._doubles = doubles

    async def check(self, file: RequestFile, rows: Sequence[FileRow]) -> Taken:
        """See `RowIntake.check`."""
        rules = self._rules_of(file, takes=True)
        return (await self._all(file, rows, check_chunk, rules, again=False)).taken()

    async def requests_of(
        self, file: RequestFile, rows: Sequence[FileRow]
    ) -> tuple[Mapping[int, CommunicationRequest], Mapping[int, RowFault]]:
        """What `check` lets through, and what it would reject, by the numbers of the rows.

        Nothing is taken in or kept, and so a row that is there twice is not found.
        """
        rules = self._rules_of(file, takes=False)
        tally = await self._all(file, rows, check_chunk, rules, again=False)
        return tally.accepted, tally.faults

    async def accept(self, file: RequestFile, rows: Sequence[FileRow], *, again: bool) -> Taken:
        """See `RowIntake.accept`."""
        rules = self._rules_of(file, takes=True)
        return (await self._all(file, rows, take_chunk, rules, again=again)).taken()

    def _rules_of(self, file: RequestFile, *, takes: bool) -> ChunkRules:
        assert not takes or self._doubles is not None
        return RowRules(self._services.config, file, self._doubles if takes else None)

    async def _all(
        self,
        file: RequestFile,
        rows: Sequence[FileRow],
        step: Step,
        rules: ChunkRules,
        *,
        again: bool,
    ) -> _RowTally:
        clients = await self._services.config.clients([file.client_id])
        if file.client_id not in clients:
            raise SenderGone
        caller = Caller(client=clients[file.client_id], key_id=KEY, live=True)
        client = _Client(services=self._services, caller=caller)
        batch = OpenBatch(
            id=BatchId(file.id),
            client_id=file.client_id,
            created_at=file.created_at,
            repeated=again,
        )
        tally = _RowTally(rows={row.number: row for row in rows})
        items: list[tuple[int, Item]] = []
        for row in rows:
            try:
                items.append((row.number, Parsed(_request_of(row))))
            except CdpError as error:
                tally.refuse(row.number, error)
        await asyncio.gather(
            *(
                step(client, batch, items[begin : begin + CHUNK], tally, rules=rules)
                for begin in range(0, len(items), CHUNK)
            )
        )
        return tally


def _request_of(row: FileRow) -> Any:
    """The object that a POST would have.

    Raises:
        Malformed: the line is no JSON.
        Invalid: it holds what can't be stored, or is for several recipients.
    """
    value = row.request
    if isinstance(value, bytes):
        value = with_defaults(loads(value), row.defaults)
    to = value.get("to") if isinstance(value, dict) else None
    if isinstance(to, list) and len(to) > 1:
        raise Invalid.at("/to", "one_recipient", "A row is for one recipient.")
    return value


def _is_double(of: int) -> Invalid:
    return Invalid.at(
        "/reference",
        "reference_repeated",
        f"Row {of:,} has this reference for the same recipient, too.",
    )


def fault_of(row: FileRow, error: CdpError) -> RowFault:
    """The first thing that is wrong with a row, by the column that it stands in."""
    if isinstance(error, Invalid):
        first = error.errors[0]
        # What no column says came from the file's options.
        column = row.column_of(first.pointer) or first.pointer.rpartition("/")[2]
        return RowFault(row=row.number, column=column, code=first.code, detail=first.detail)
    document = document_of(error)
    code = str(document["type"]).rpartition(":")[2]
    return RowFault(
        row=row.number, column="", code=code, detail=document.get("detail") or document["title"]
    )
