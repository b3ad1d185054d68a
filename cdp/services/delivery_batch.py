"""One batch on its way through a delivery worker: claimed, sent, and recorded.

What is claimed here is known nowhere else until its outcome is recorded; so an outcome is
recorded however long MongoDB is away, and the lease is renewed until it is.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cdp.domain.campaign import CANCELLED, CampaignRoster, Standing
from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import ResultId
from cdp.domain.record import record
from cdp.domain.suppression import is_hard_bounce
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.ports.handoff import Report, Verdict
from cdp.ports.provider import (
    Accepted,
    EmailMessage,
    FailureClass,
    Message,
    Outcome,
    Rejected,
    Unknown,
)
from cdp.services.communication_service import CommunicationService, Move
from cdp.services.outcome_recorder import Answered, OutcomeRecorder
from cdp.services.provider_roster import OpenProvider
from cdp.services.queueing_service import is_expired
from cdp.services.suppression_service import NOTHING_WITHHELD, Withheld, metadata_of

log = logging.getLogger(__name__)

E = EventName
_TRANSIENT: Final = FailureClass.TRANSIENT
CLAIM_TRIES: Final = 5
CLAIM_PAUSE_S: Final = 0.5
BEHIND_AFTER_S: Final = 1.0
"""What waits here for longer waits too long: no more should have been handed over."""
SHOW_AFTER_S: Final = 2.0
"""What is answered sooner never shows as being sent: its outcome is its next event."""
BEGIN_SHARE: Final = 2 / 3
"""The part of a lease in which a send may begin; the rest is for its answer."""


Compose = Callable[[WorkItem, Communication, float], Message]
"""Makes the message; the number is the seconds in which its send may begin."""


@record
class Assigned:
    """Who gets an item, and what is sent."""

    provider: OpenProvider
    content: Communication | None
    """None where it is not there, which is never so by our own hand."""
    withheld: Withheld = NOTHING_WITHHELD
    """What of it must not be sent."""


Chosen = Mapping[ResultId, Assigned]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What every batch of a worker uses."""

    communications: CommunicationService
    clock: Clock
    worker: str
    lease_s: float
    answer_s: float
    compose: Compose
    on_outcome: Callable[[OpenProvider, Outcome], None]
    recorder: OutcomeRecorder
    is_alone: Callable[[], bool]
    """Whether no other batch is under way."""
    campaigns: CampaignRoster


class DeliveryBatch:
    """Claims, reports, and what is still under way."""

    def __init__(self, desk: Desk, items: Sequence[WorkItem], chosen: Chosen) -> None:
        self._desk = desk
        self._items = items
        self._chosen = chosen
        self._claimed: dict[ResultId, WorkItem] = {}
        self._is_claimed = False
        self._reports: dict[ResultId, Report] = {}
        self._recorded: set[ResultId] = set()
        self._unrecorded: set[ResultId] = set()
        """Outcomes that are known here and not in the log yet."""
        self._behind: set[ResultId] = set()
        """What was in our hands for too long, and not in the other side's."""
        self._all_recorded = asyncio.Event()
        self._all_recorded.set()

    async def run(self, keep: Callable[[asyncio.Task[None]], None]) -> list[Report]:
        """Claim and send; a report for each item, after `answer_s` at the latest.

        Args:
            keep: holds the task that goes on sending and recording after the answer.

        Raises:
            OutcomeUnknown: the claim could not be recorded; nothing was sent.
        """
        begun = self._desk.clock.monotonic()
        await self._claim()
        if self._claimed:
            task = asyncio.create_task(self._send_and_record(begun))
            keep(task)
            await asyncio.wait([task], timeout=self._desk.answer_s)
        for result_id, item in self._claimed.items():
            if result_id not in self._reports:
                self._reports[result_id] = self._report(item, Verdict.UNDER_WAY)
        return list(self._reports.values())

    @property
    def in_flight(self) -> int:
        """Messages that are claimed and whose outcome is not recorded yet."""
        return len(self._claimed.keys() - self._recorded) if self._is_claimed else len(self._items)

    async def _claim(self) -> None:
        now = self._desk.clock.now()
        lease_ends = now + timedelta(seconds=self._desk.lease_s)
        standing = {i.result_id: self._desk.campaigns.standing(i) for i in self._items}
        free = [i for i in self._items if standing[i.result_id] is not Standing.HELD]
        self._reports |= {
            i.result_id: Report(item=i, verdict=Verdict.HELD)
            for i in self._items
            if standing[i.result_id] is Standing.HELD
        }
        moves = [self._claiming(i, standing[i.result_id], now, lease_ends) for i in free]
        after = await self._advance_claim(moves)
        self._is_claimed = True
        for move, item in zip(moves, after, strict=True):
            if item is None:
                report = Report(item=move.item, verdict=Verdict.OVERTAKEN)
                self._reports[move.item.result_id] = report
            elif item.is_final:
                self._reports[item.result_id] = Report(item=item, verdict=Verdict.CLOSED)
            else:
                self._claimed[item.result_id] = item

    async def _advance_claim(self, moves: Sequence[Move]) -> list[WorkItem | None]:
        """Claim, also while MongoDB changes its primary.

        A claim that is given up here may be in the log all the same: then it counts as a worker
        that was lost with its messages.
        """
        ticket = self._desk.communications.ticket()
        for _ in range(CLAIM_TRIES - 1):
            with contextlib.suppress(OutcomeUnknown):
                return await self._desk.communications.advance(moves, ticket=ticket)
            await asyncio.sleep(CLAIM_PAUSE_S)
        return await self._desk.communications.advance(moves, ticket=ticket)

    def _claiming(
        self, item: WorkItem, standing: Standing, now: datetime, lease_ends: datetime
    ) -> Move:
        if standing is Standing.CANCELLED:
            return Move(item=item, name=E.CANCELLED, metadata={"reason": CANCELLED})
        if is_expired(item, now):
            return Move(item=item, name=E.EXPIRED, metadata={"reason": "expires_at"})
        withheld = self._chosen[item.result_id].withheld
        if withheld.by is not None:
            return Move(item=item, name=E.SUPPRESSED, metadata=metadata_of(withheld.by))
        metadata: dict[str, Any] = {
            "attempt": item.attempt + 1,
            "due_at": lease_ends,
            "worker": self._desk.worker,
            "provider": self._chosen[item.result_id].provider.name,
        }
        if withheld.copies:
            metadata["copies_suppressed"] = sorted(withheld.copies)
        return Move(item=item, name=E.DELIVERY_ATTEMPTED, metadata=metadata)

    async def _send_and_record(self, begun: float) -> None:
        renewer = asyncio.create_task(self._renew())
        try:
            await self._send(begun)
        finally:
            if self._desk.is_alone():
                # No more outcomes come that this one's could wait for.
                self._desk.recorder.hurry()
            # The leases are kept until the last outcome is recorded, or a shard would write
            # "unknown" over an outcome that is known here.
            await self._all_recorded.wait()
            renewer.cancel()
            await asyncio.wait([renewer])

    async def _send(self, begun: float) -> None:
        claimed = list(self._claimed.values())
        # The lease runs from before the claim, and so does the time to begin in.
        left_s = self._desk.lease_s * BEGIN_SHARE - (self._desk.clock.monotonic() - begun)
        messages: dict[ResultId, Message] = {}
        for item in claimed:
            content = self._chosen[item.result_id].content
            if content is None or left_s <= 0:
                # Certainly not sent, so it is no unknown outcome.
                code = "content_unread" if content is None else "not_begun"
                self._note(item.result_id, Rejected(failure=_TRANSIENT, code=code))
            else:
                messages[item.result_id] = self._composed(item, content, left_s)
        groups: dict[OpenProvider, list[Message]] = {}
        for result_id, message in messages.items():
            groups.setdefault(self._chosen[result_id].provider, []).append(message)
        await asyncio.gather(*(self._send_through(p, group) for p, group in groups.items()))

    def _composed(self, item: WorkItem, content: Communication, left_s: float) -> Message:
        message = self._desk.compose(item, content, left_s)
        left_out = self._chosen[item.result_id].withheld.left_out(content)
        if left_out and isinstance(message, EmailMessage):
            return replace(message, left_out=left_out)
        return message

    async def _send_through(self, provider: OpenProvider, messages: Sequence[Message]) -> None:
        def report(message: Message, outcome: Outcome) -> None:
            self._desk.on_outcome(provider, outcome)
            self._note(message.result_id, outcome)

        provider.in_use += 1
        try:
            await provider.provider.deliver(messages, report)
        except Exception:
            # A provider never raises for what its vendor answers, so this is a bug; what it has
            # not reported is unknown when the lease ends, and nothing else stands still for it.
            facts = {"provider": provider.name, "messages": len(messages)}
            log.exception("the provider failed", extra=facts)
        finally:
            provider.in_use -= 1

    def _note(self, result_id: ResultId, outcome: Outcome) -> None:
        move = _outcome_move(self._claimed[result_id], outcome)

        def tell(item: WorkItem | None) -> None:
            self._reports[result_id] = self._reported(move, outcome, item)
            self._recorded.add(result_id)
            self._unrecorded.discard(result_id)
            if not self._unrecorded:
                self._all_recorded.set()

        self._unrecorded.add(result_id)
        self._all_recorded.clear()
        self._desk.recorder.note(Answered(move, self._bounced(result_id, outcome), tell))

    def _bounced(self, result_id: ResultId, outcome: Outcome) -> Communication | None:
        """The message, if its address, as was answered, does not exist."""
        if not isinstance(outcome, Rejected) or outcome.failure is not FailureClass.ADDRESS:
            return None
        content = self._chosen[result_id].content
        if content is None or not is_hard_bounce(content.channel, outcome.code):
            return None
        return content

    async def _renew(self) -> None:
        """Show what is not answered at once, and keep its leases: SMTP may take ten minutes."""
        between_s = self._desk.lease_s / 3
        await asyncio.sleep(min(BEHIND_AFTER_S, between_s))
        self._note_behind()
        pause_s = min(SHOW_AFTER_S - BEHIND_AFTER_S, between_s)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = between_s
            until = self._desk.clock.now() + timedelta(seconds=self._desk.lease_s)
            try:
                await self._desk.communications.show_sending(self._open_items(), until=until)
                self._note_behind()
            except Exception as error:
                log.warning("leases wait for MongoDB", extra={"error": type(error).__name__})
                pause_s = min(SHOW_AFTER_S, between_s)

    def _open_items(self) -> list[WorkItem]:
        return [i for r, i in self._claimed.items() if r not in self._recorded]

    def _note_behind(self) -> None:
        self._behind |= {i.result_id for i in self._open_items() if self._waits(i.result_id)}

    def _waits(self, result_id: ResultId) -> bool:
        """Whether it is here that an attempt takes long: for its turn, or for MongoDB."""
        return result_id in self._unrecorded or self._chosen[result_id].provider.is_busy

    def _reported(self, move: Move, outcome: Outcome, item: WorkItem | None) -> Report:
        if item is None:
            return self._report(move.item, Verdict.OVERTAKEN)
        if item.is_final:
            return self._report(item, Verdict.DELIVERED)
        retry_after_s = outcome.retry_after_s if isinstance(outcome, Rejected) else None
        return self._report(item, Verdict.FAILED, retry_after_s=retry_after_s)

    def _report(
        self, item: WorkItem, verdict: Verdict, *, retry_after_s: float | None = None
    ) -> Report:
        is_behind = item.result_id in self._behind
        return Report(item=item, verdict=verdict, retry_after_s=retry_after_s, is_behind=is_behind)


def _outcome_move(item: WorkItem, outcome: Outcome) -> Move:
    if isinstance(outcome, Accepted):
        metadata: dict[str, Any] = {"attempt": item.attempt, "answer": outcome.answer}
        if outcome.provider_message_id is not None:
            metadata["provider_message_id"] = outcome.provider_message_id
        return Move(item=item, name=E.DELIVERY_SUCCEEDED, metadata=metadata)
    metadata = {"attempt": item.attempt, "code": outcome.code, "answer": outcome.answer}
    if isinstance(outcome, Unknown):
        metadata |= {"reason": "unknown", "outcome": "unknown"}
    else:
        metadata["reason"] = outcome.failure.value
    return Move(item=item, name=E.DELIVERY_FAILED, metadata=metadata)
