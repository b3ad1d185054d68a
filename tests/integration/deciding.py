"""What stands between a file's ingestion and the front door in tests."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from cdp.domain.request_file import FileState, RequestFile
from cdp.ports.row_intake import FileRow, RowIntake, Taken
from cdp.services.file_ingestion_service import FileIngestionService


class Decide(Protocol):
    """Decides on the rows of a stretch."""

    def __call__(
        self, file: RequestFile, rows: Sequence[FileRow], /, *, again: bool
    ) -> Awaitable[Taken]: ...


class _Intake:
    """`RowIntake` by one function."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide

    async def check(self, file: RequestFile, rows: Sequence[FileRow]) -> Taken:
        return await self._decide(file, rows, again=False)

    async def accept(self, file: RequestFile, rows: Sequence[FileRow], *, again: bool) -> Taken:
        return await self._decide(file, rows, again=again)


def decision(service: FileIngestionService) -> Decide:
    """What decides on rows now."""
    given: Any = service
    intake: RowIntake = given._tools.intake

    async def decide(file: RequestFile, rows: Sequence[FileRow], *, again: bool) -> Taken:
        if file.state is FileState.CHECKING:
            return await intake.check(file, rows)
        return await intake.accept(file, rows, again=again)

    return decide


def decides(service: FileIngestionService, decide: Decide, *, ahead: int = 1) -> None:
    """Let this decide on rows, so many stretches at once."""
    given: Any = service
    given._tools = replace(given._tools, intake=_Intake(decide), ahead=ahead)
