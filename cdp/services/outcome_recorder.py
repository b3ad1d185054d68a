"""Records outcomes: those of all batches of a worker together, since a record has its price.

An outcome exists nowhere else until then, so it is tried however long MongoDB is away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.errors import OutcomeUnknown
from cdp.services.communication_service import CommunicationService, Move, Ticket

log = logging.getLogger(__name__)

RECORD_TRIES: Final = 600
RECORD_PAUSE_S: Final = 1.0
BOUNCE_TRIES: Final = 5
"""So often what MongoDB refuses is tried, before an outcome is recorded without its bounce."""
GATHER_S: Final = 0.02
"""Outcomes wait so long for more; it is also so much longer that a killed worker makes doubles."""
FEW: Final = 16
"""So few wait as long once more, and again, up to `GATHERINGS_MAX` times in all: a record costs as
much as many outcomes do, and how many may become doubles is a matter of their number."""
GATHERINGS_MAX: Final = 3

NoteBounces = Callable[[Sequence[Communication]], Awaitable[None]]
"""Keeps the addresses that a provider says do not exist."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An outcome."""

    move: Move
    bounced: Communication | None
    """The message, if its address, as was answered, does not exist."""
    tell: Callable[[WorkItem | None], None]
    """Takes the item behind it, or None where another writer was first."""


class OutcomeRecorder:
    """One for a worker."""

    def __init__(self, communications: CommunicationService, *, note_bounces: NoteBounces) -> None:
        self._communications = communications
        self._note_bounces = note_bounces
        self._waiting: list[Answered] = []
        self._timer: asyncio.TimerHandle | None = None
        self._gatherings = 0
        self._recording: set[asyncio.Task[None]] = set()

    def note(self, answered: Answered) -> None:
        """Record it in a moment, with the others of that moment."""
        self._waiting.append(answered)
        if self._timer is None:
            self._gatherings = 0
            self._gather()

    def _gather(self) -> None:
        self._gatherings += 1
        self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._gathered)

    def _gathered(self) -> None:
        if len(self._waiting) < FEW and self._gatherings < GATHERINGS_MAX:
            self._gather()
        else:
            self.hurry()

    def hurry(self) -> None:
        """Record now what waits, since no more of it comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            together, self._waiting = self._waiting, []
            task = asyncio.create_task(self._record(together))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

    async def _record(self, together: Sequence[Answered]) -> None:
        ticket = self._communications.ticket()
        if len(together) > 1:
            try:
                after = await self._tried(together, ticket, again_after=OutcomeUnknown)
            except Exception as error:
                # What is wrong with one must not cost the others theirs.
                log.warning("outcomes are recorded apart", extra={"error": type(error).__name__})
            else:
                _tell(together, after)
                return
        await asyncio.gather(*(self._record_alone(each, ticket) for each in together))

    async def _record_alone(self, answered: Answered, ticket: Ticket) -> None:
        _tell([answered], await self._tried([answered], ticket, again_after=Exception))

    async def _tried(
        self, together: Sequence[Answered], ticket: Ticket, *, again_after: type[Exception]
    ) -> list[WorkItem | None]:
        """Record outcomes even if MongoDB is away for a while: they exist nowhere else.

        To forget a known outcome is to send twice, whatever MongoDB says.
        """
        moves = [each.move for each in together]
        bounced = [each.bounced for each in together if each.bounced is not None]
        for tries in range(RECORD_TRIES):
            try:
                await self._keep_addresses(bounced, tries=tries)
                return await self._communications.advance(moves, ticket=ticket)
            except again_after as error:
                facts = {"results": len(moves), "error": type(error).__name__}
                log.warning("outcomes wait for MongoDB", extra=facts)
                await asyncio.sleep(RECORD_PAUSE_S)
        return [None] * len(moves)

    async def _keep_addresses(self, bounced: Sequence[Communication], *, tries: int) -> None:
        """Keep the addresses of those that bounced, before the outcome is recorded.

        Who dies in between leaves an entry and an attempt whose outcome nobody knows: it is tried
        again, and suppressed. The other way round nobody would learn of the address.
        """
        try:
            if bounced:
                await self._note_bounces(bounced)
        except OutcomeUnknown:
            raise
        except Exception as error:
            if tries < BOUNCE_TRIES:
                raise
            # No bug there may cost the outcome.
            facts = {"results": len(bounced), "error": type(error).__name__}
            log.error("bounced addresses are not kept", extra=facts)


def _tell(together: Sequence[Answered], after: Sequence[WorkItem | None]) -> None:
    for each, item in zip(together, after, strict=True):
        each.tell(item)
