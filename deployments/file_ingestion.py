"""FileIngestion: actors that turn files of requests into communications.

Loops and timers only; what is done with a file is decided in `FileIngestionService`, and how one
that came by way of object storage is taken in, in `FileReceivingService`.
"""

import contextlib
from typing import Any, Final

from cdp.ports.handoff import WorkerLost
from deployments.component import Component
from deployments.handles import SUPERVISOR, ShardHints, ask

LOOK_S: Final = 1.0
BACKLOG_S: Final = 1.0
BOOKS_S: Final = 1.0
ANSWER_S: Final = 5.0


class FileIngestion:
    """Works on one file at a time, in turns, and takes in another meanwhile.

    Killed at any line it loses only time.
    """

    def __init__(self, name: str) -> None:
        self._component = Component("file-ingestion", name)
        wiring = self._component.wiring
        self._backlog = wiring.backlog()
        self._hints = ShardHints(wiring.partition_owners())
        self._service = wiring.file_ingestion_service(backlog=self._backlog, hint=self._hints.tell)
        self._receiving = wiring.file_receiving_service()
        self._component.loop("backlog", self._see_backlog)
        self._books = wiring.file_books()
        self._component.loop("files", self._work)
        self._component.loop("books", self._close_books)
        self._component.loop("receiving", self._receive)
        self._component.heartbeat(self._facts)

    async def _see_backlog(self) -> float:
        with contextlib.suppress(WorkerLost):
            total, by_client = await ask(SUPERVISOR, "backlog", within_s=ANSWER_S)
            self._backlog.update(total, by_client)
        return BACKLOG_S

    async def _work(self) -> float:
        worked = await self._service.step()
        return 0.0 if worked else LOOK_S

    async def _close_books(self) -> float:
        await self._books.step()
        return BOOKS_S

    async def _receive(self) -> float:
        received = await self._receiving.step()
        return 0.0 if received else LOOK_S

    def _facts(self) -> dict[str, Any]:
        busy = self._service.is_busy or self._receiving.is_busy
        return {"rows": self._service.rows, "busy": busy}

    async def ping(self) -> str:
        """A sign of life."""
        return self._component.wiring.incarnation
