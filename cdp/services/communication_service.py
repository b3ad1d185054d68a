"""The Communication Service: the only writer of communications, events and results.

The log is the gate. `advance` appends the next event of each item; who loses the number has been
overtaken and does nothing. Only then is the projection brought up to date; when the process dies
in between, the next one to meet the item repairs it from the log.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import Any, Final

from cdp.domain.campaign import HELD
from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import (
    LEGAL_AFTER,
    STATUS_AFTER,
    Event,
    EventName,
    Fold,
    Status,
    fold,
)
from cdp.domain.ids import ClientId, ResultId, event_id
from cdp.domain.record import record
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.services.delivery_metrics import count_events, observe_delivery
from cdp.storage.communication_logs import CommunicationLogs
from cdp.storage.communications import Communications
from cdp.storage.delivery_results import DeliveryResults, Projection
from cdp.telemetry import Telemetry

log = logging.getLogger(__name__)

_ROUNDS_MAX: Final = 8
_LATE_MAX: Final = 1_000
_LATE_TRIES: Final = 60
PASSING: Final = frozenset(
    {EventName.CONTENT_RESOLVED, EventName.QUEUED, EventName.DELIVERY_ATTEMPTED}
)
"""Events after which the next soon follows, by whoever appended this one. Their results stay behind
the log until then: an update that moves a result in the work index is the dearest of all writes.
Until then whoever meets the result takes it for due, loses the number, and reads the log."""
_ATTEMPT: Final = frozenset(
    {EventName.DELIVERY_ATTEMPTED, EventName.DELIVERY_SUCCEEDED, EventName.DELIVERY_FAILED}
)
_LEGAL_IN: Final[Mapping[EventName, frozenset[Status]]] = {
    name: frozenset(STATUS_AFTER[before] for before in befores)
    for name, befores in LEGAL_AFTER.items()
}


Wanted = Callable[[WorkItem], Mapping[str, Any] | None]
"""The metadata of the event that an item is to get; None when it is to get none."""


@record
class Move:
    """The next event that somebody wants for an item."""

    item: WorkItem
    name: EventName
    metadata: Mapping[str, Any] = field(default_factory=dict)


@record
class Ticket:
    """What makes an appending the same when it is tried again after an unknown outcome."""

    mark: str
    """The event's writer. No two appendings share one, not even of the same process: each must
    know its own events from all others."""
    at: datetime


class CommunicationService:
    """Appends events and keeps the results true to them. What it returned is durable."""

    def __init__(
        self,
        *,
        logs: CommunicationLogs,
        results: DeliveryResults,
        communications: Communications,
        clock: Clock,
        writer: str,
        telemetry: Telemetry,
    ) -> None:
        """`writer` is this process's incarnation; no two may ever share one."""
        self._logs = logs
        self._results = results
        self._communications = communications
        self._clock = clock
        self._writer = writer
        self._telemetry = telemetry
        self._tickets = 0
        self._late: set[asyncio.Task[None]] = set()

    def ticket(self) -> Ticket:
        """For one appending: its mark and its time, the same however often it is tried."""
        self._tickets += 1
        return Ticket(mark=f"{self._writer}#{self._tickets}", at=self._clock.now())

    async def advance(
        self, moves: Sequence[Move], *, ticket: Ticket | None = None
    ) -> list[WorkItem | None]:
        """Append each item's next event, and show it in the result unless it is of `PASSING`.

        Args:
            moves: at most one for an item.
            ticket: of an earlier try of the same moves, whose events may be there.

        Returns:
            For each the item after its event, or None where another writer was first: then
            `repair` says what the item has become.

        Raises:
            OutcomeUnknown: MongoDB could not be asked; any of the events may be there.
        """
        if not moves:
            return []
        ticket = ticket or self.ticket()
        for move in moves:
            assert move.item.status in _LEGAL_IN[move.name], (move.item.status, move.name)
        won = await self._logs.append([_event(move, ticket) for move in moves])
        after = [
            move.item.after(move.name, ticket.at, move.metadata) if ours else None
            for move, ours in zip(moves, won, strict=True)
        ]
        names = [move.name for move in moves]
        count_events(self._telemetry, names, after)
        if not _ATTEMPT.isdisjoint(names):
            observe_delivery(self._telemetry, names, after, ticket.at)
        shown = [
            Projection(item=item, at=ticket.at)
            for move, item in zip(moves, after, strict=True)
            if item is not None and move.name not in PASSING
        ]
        if shown:
            await self._project(shown)
        return after

    async def show_sending(self, items: Sequence[WorkItem], *, until: datetime) -> None:
        """Show attempts that last in their results, owned until `until`.

        Raises:
            OutcomeUnknown: MongoDB could not be asked.
        """
        now = self._clock.now()
        shown = [Projection(item=replace(item, due_at=until), at=now) for item in items]
        await self._results.project(shown, again=True)

    async def _project(self, projections: Sequence[Projection]) -> None:
        try:
            await self._results.project(projections)
        except OutcomeUnknown:
            # The log has it, which is what counts. What is met soon is repaired then; but a
            # cancelled item that is due in a year would look scheduled until then.
            log.warning("projection is late", extra={"results": len(projections)})
            if len(self._late) < _LATE_MAX:
                task = asyncio.create_task(self._project_later(projections))
                self._late.add(task)
                task.add_done_callback(self._late.discard)

    async def _project_later(self, projections: Sequence[Projection]) -> None:
        for _ in range(_LATE_TRIES):
            await asyncio.sleep(1.0)
            with contextlib.suppress(OutcomeUnknown):
                await self._results.project(projections)
                return

    async def repair(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """What these items are by their logs; the results are brought up to that.

        The lease of an attempt is renewed in the result alone, so the later of the two counts.
        """
        ids = [item.result_id for item in items]
        events = await self._logs.numbered_across_clients(ids)
        folds = {result_id: _fold_of(events[result_id]) for result_id in ids}
        sending = [r for r, state in folds.items() if state.status is Status.SENDING]
        stored = await self._results.items_across_clients(sending) if sending else {}
        repaired, projections = [], []
        for item in items:
            state = folds[item.result_id]
            assert state.since is not None, "a result has at least CREATED"
            true = item.folded(state)
            known = stored.get(item.result_id)
            if known is not None and known.seq == true.seq and known.due_at > true.due_at:
                true = replace(true, due_at=known.due_at)
            repaired.append(true)
            projections.append(Projection(item=true, at=state.since))
        await self._project(projections)
        return repaired

    async def record_content(
        self, contents: Sequence[tuple[WorkItem, Communication]]
    ) -> list[WorkItem | None]:
        """Store finished contents and record CONTENT_RESOLVED for each.

        A content that a crashed process left behind stays, and is the one that is recorded.
        """
        made = [communication for _, communication in contents]
        ours = await self._communications.insert(made, writer=self.ticket().mark)
        left = [c.result_id for c, mine in zip(made, ours, strict=True) if not mine]
        stored = await self._communications.across_clients(left) if left else {}
        moves = [
            Move(
                item=item,
                name=EventName.CONTENT_RESOLVED,
                metadata=_pinned(stored.get(communication.result_id, communication)),
            )
            for item, communication in contents
        ]
        return await self.advance(moves)

    async def cancel(
        self, client_id: ClientId, result_ids: Sequence[ResultId], *, metadata: Mapping[str, Any]
    ) -> dict[ResultId, WorkItem]:
        """Cancel what can still be cancelled; how each result is after.

        A result that is being sent or is finished stays as it is.
        """

        def cancelling(item: WorkItem) -> Mapping[str, Any] | None:
            return None if item.is_final or item.status is Status.SENDING else metadata

        return await self._insist(client_id, result_ids, EventName.CANCELLED, cancelling)

    async def suppress(
        self, client_id: ClientId, metadata: Mapping[ResultId, Mapping[str, Any]]
    ) -> list[ResultId]:
        """Stop what can still be stopped of these; those that were.

        What is being sent stays as it is, and is looked up again should it come back failed.

        Args:
            client_id: whose results.
            metadata: of each result's event.
        """

        def stopping(item: WorkItem) -> Mapping[str, Any] | None:
            goes_on = item.is_final or item.status is Status.SENDING
            return None if goes_on else metadata[item.result_id]

        after = await self._insist(client_id, list(metadata), EventName.SUPPRESSED, stopping)
        return [r for r, item in after.items() if item.status is Status.SUPPRESSED]

    async def reschedule(
        self, client_id: ClientId, result_ids: Sequence[ResultId], *, change: Mapping[str, Any]
    ) -> dict[ResultId, WorkItem]:
        """Change `send_at`, `expires_at` or `priority` of what is not being sent or finished.

        Args:
            client_id: whose results.
            result_ids: which.
            change: the new values; a None takes the value away.
        """

        def changing(item: WorkItem) -> Mapping[str, Any] | None:
            # After a failure the retry policy has the next word.
            if item.is_final or item.status in (Status.SENDING, Status.FAILED):
                return None
            send_at = change.get("send_at", item.send_at)
            # What its campaign holds is decided on anew, or nothing would look for it.
            is_waiting = item.status is Status.SCHEDULED and item.reason != HELD
            waits = item.due_at if is_waiting else self._clock.now()
            due_at = send_at or self._clock.now() if "send_at" in change else waits
            return {"reason": "changed", "due_at": due_at, **change}

        return await self._insist(client_id, result_ids, EventName.SCHEDULED, changing)

    async def _insist(
        self,
        client_id: ClientId,
        result_ids: Sequence[ResultId],
        name: EventName,
        wanted: Wanted,
    ) -> dict[ResultId, WorkItem]:
        """Try again on what others have moved meanwhile, until each has had its answer."""
        items = await self._results.items_across_clients(result_ids)
        settled = {r: item for r, item in items.items() if item.client_id == client_id}
        tried = list(settled.values())
        for _ in range(_ROUNDS_MAX):
            moves = [
                Move(item=item, name=name, metadata=metadata)
                for item in tried
                if (metadata := wanted(item)) is not None
            ]
            after = await self.advance(moves)
            settled |= {item.result_id: item for item in after if item}
            lost = [m.item for m, item in zip(moves, after, strict=True) if item is None]
            stale = [i for i in tried if wanted(i) is None and not i.is_final]
            tried = await self.repair(lost + stale) if lost or stale else []
            settled |= {item.result_id: item for item in tried}
            tried = [item for item in tried if wanted(item) is not None]
            if not tried:
                break
        return settled

    async def events(self, client_id: ClientId, result_id: ResultId) -> list[Event]:
        """A result's log, the numbered events first."""
        return await self._logs.of_result(client_id, result_id)

    async def content(self, client_id: ClientId, result_id: ResultId) -> Communication | None:
        """A result's finished content, if there is any yet."""
        return await self._communications.of_client(client_id, result_id)


def _event(move: Move, ticket: Ticket) -> Event:
    return Event(
        id=event_id(move.item.result_id, move.item.seq + 1),
        name=move.name,
        at=ticket.at,
        client_id=move.item.client_id,
        writer=ticket.mark,
        metadata=move.metadata,
    )


def _pinned(communication: Communication) -> Mapping[str, Any]:
    """Which template version the content was made with, for ever."""
    if communication.template is None:
        return {}
    return {"template": communication.template, "version": communication.template_version}


def _fold_of(events: Sequence[Event]) -> Fold:
    return fold((event.name, event.at, event.metadata) for event in events)
