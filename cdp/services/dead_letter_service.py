"""Dead letters of a client: looked at, counted, and replayed.

A replay appends REPLAYED to the log, which opens the result again: the same communication, with
its ids and its content, goes through the queue once more. Its attempts are counted anew by the
retry policy; what expired meanwhile ends as EXPIRED.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cdp.domain.dead_letter import DeadLetterFilter, DeadLetterPlace, ReasonCount
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName, Status
from cdp.domain.failure_report import failures_of
from cdp.domain.ids import ClientId, ResultId
from cdp.services.communication_reading import ResultView, view_of
from cdp.services.communication_service import CommunicationService, Move
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.dead_letters import DeadLetters


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A result that was given up."""

    result: ResultView
    failed_at: datetime
    detail: str
    """What the provider answered last, or what the template lacks."""

    @property
    def place(self) -> DeadLetterPlace:
        """Where it stands in the list."""
        return DeadLetterPlace(failed_at=self.failed_at, result_id=self.result.id)


class DeadLetterService:
    """Answers for what was given up."""

    def __init__(
        self,
        *,
        dead_letters: DeadLetters,
        logs: CommunicationLogs,
        communications: CommunicationService,
    ) -> None:
        self._dead_letters = dead_letters
        self._logs = logs
        self._communications = communications

    async def page(
        self,
        client_id: ClientId,
        wanted: DeadLetterFilter,
        *,
        after: DeadLetterPlace | None,
        limit: int,
    ) -> list[DeadLetter]:
        """Dead letters, the newest failure first."""
        documents = await self._dead_letters.page(client_id, wanted, after=after, limit=limit)
        # What a provider answers is different each time, so only the log has it.
        logs = await self._logs.numbered_across_clients([d["_id"] for d in documents])
        details = {
            result_id: [report.detail for report in failures_of(events).values()]
            for result_id, events in logs.items()
        }
        return [
            DeadLetter(
                result=view_of(document),
                failed_at=document["updated_at"],
                detail=next(reversed(details[document["_id"]]), ""),
            )
            for document in documents
        ]

    async def summary(self, client_id: ClientId, wanted: DeadLetterFilter) -> list[ReasonCount]:
        """How many there are for each reason, the most first."""
        return await self._dead_letters.counts(client_id, wanted)

    async def items(
        self, client_id: ClientId, result_ids: Sequence[ResultId]
    ) -> dict[ResultId, WorkItem]:
        """Those of a client's results that exist, whether they are dead letters or not."""
        return await self._dead_letters.items(client_id, result_ids)

    async def oldest(
        self, client_id: ClientId, wanted: DeadLetterFilter, *, limit: int
    ) -> list[WorkItem]:
        """Dead letters, the oldest failure first."""
        return await self._dead_letters.oldest(client_id, wanted, limit=limit)

    async def replay(self, items: Sequence[WorkItem], *, by: str) -> list[tuple[WorkItem, bool]]:
        """Open dead letters again.

        Args:
            items: each one of a client's; what is no dead letter is left as it is.
            by: who wants it, for the log.

        Returns:
            Each as it is now, and whether it was replayed here. Of two who replay the same at the
            same time, one does.

        Raises:
            OutcomeUnknown: MongoDB could not be asked; some may have been replayed, and to repeat
                it replays the rest.
        """
        dead = [item for item in items if is_dead(item)]
        metadata = {"reason": "replayed", "by": by}
        moves = [Move(item=item, name=EventName.REPLAYED, metadata=metadata) for item in dead]
        after = await self._communications.advance(moves)
        opened = {item.result_id: item for item in after if item is not None}
        overtaken = [item for item in dead if item.result_id not in opened]
        repaired = await self._communications.repair(overtaken) if overtaken else []
        current = {item.result_id: item for item in repaired} | opened
        return [(current.get(item.result_id, item), item.result_id in opened) for item in items]


def is_dead(item: WorkItem) -> bool:
    """Whether it was given up."""
    return item.status is Status.UNDELIVERABLE
