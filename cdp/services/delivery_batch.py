"""One batch on its way through a delivery worker: claimed, sent, and recorded.

What is claimed here is known nowhere else until its outcome is recorded; so an outcome is
recorded however long MongoDB is away, and the lease is renewed until it is.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from cdp.domain.campaign import CANCELLED, CampaignRoster, Standing
from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import ResultId
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
from cdp.services.provider_roster import OpenProvider
from cdp.services.queueing_service import is_expired
from cdp.services.suppression_service import NOTHING_WITHHELD, Withheld, metadata_of

log = logging.getLogger(__name__)

E = EventName
_TRANSIENT: Final = FailureClass.TRANSIENT
RECORD_TRIES: Final = 600
RECORD_PAUSE_S: Final = 1.0
BOUNCE_TRIES: Final = 5
"""So often what MongoDB refuses is tried, before an outcome is recorded without its bounce."""
CLAIM_TRIES: Final = 5
CLAIM_PAUSE_S: Final = 0.5
GATHER_S: Final = 0.02
"""Outcomes wait so long for more; it is also so much longer that a killed worker makes doubles."""
SHOW_AFTER_S: Final = 1.0
"""What is answered sooner never shows as being sent: its outcome is its next event."""
BEGIN_SHARE: Final = 2 / 3
"""The part of a lease in which a send may begin; the rest is for its answer."""


Compose = Callable[[WorkItem, Communication, float], Message]
"""Makes the message; the number is the seconds in which its send may begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
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
    note_bounces: Callable[[Sequence[Communication]], Awaitable[None]]
    """Keeps the addresses that a provider says do not exist."""
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
        self._answered: list[tuple[ResultId, Outcome]] = []
        self._news = asyncio.Event()
        self._all_in = asyncio.Event()

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
                self._reports[result_id] = Report(item=item, verdict=Verdict.UNDER_WAY)
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
        recorder = asyncio.create_task(self._record())
        renewer = asyncio.create_task(self._renew())
        try:
            await self._send(begun)
        finally:
            self._all_in.set()
            self._news.set()
            # The leases are kept until the last outcome is recorded, or a shard would write
            # "unknown" over an outcome that is known here.
            await asyncio.wait([recorder])
            renewer.cancel()
            await asyncio.wait([renewer])
            recorder.result()

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
        self._answered.append((result_id, outcome))
        self._news.set()

    async def _record(self) -> None:
        """Record what was answered while the record before it was being written."""
        while not (self._all_in.is_set() and not self._answered):
            await self._news.wait()
            if not self._all_in.is_set():
                await self._gather_more()
            self._news.clear()
            answered, self._answered = self._answered, []
            if answered:
                await self._record_group(answered)
            if self._all_in.is_set():
                self._news.set()

    async def _gather_more(self) -> None:
        """Give the next answers a moment: outcomes recorded together cost less each."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_in.wait(), GATHER_S)

    async def _record_group(self, answered: Sequence[tuple[ResultId, Outcome]]) -> None:
        moves = [_outcome_move(self._claimed[r], outcome) for r, outcome in answered]
        after = await self._advance_surely(moves, self._bounced(answered))
        for (_, outcome), move, item in zip(answered, moves, after, strict=True):
            if item is None:
                report = Report(item=move.item, verdict=Verdict.OVERTAKEN)
            elif item.is_final:
                report = Report(item=item, verdict=Verdict.DELIVERED)
            else:
                retry_after_s = outcome.retry_after_s if isinstance(outcome, Rejected) else None
                report = Report(item=item, verdict=Verdict.FAILED, retry_after_s=retry_after_s)
            self._reports[move.item.result_id] = report
            self._recorded.add(move.item.result_id)

    def _bounced(self, answered: Sequence[tuple[ResultId, Outcome]]) -> list[Communication]:
        """The messages whose addresses, as was answered, do not exist."""
        return [
            content
            for result_id, outcome in answered
            if isinstance(outcome, Rejected)
            and outcome.failure is FailureClass.ADDRESS
            and (content := self._chosen[result_id].content) is not None
            and is_hard_bounce(content.channel, outcome.code)
        ]

    async def _note_bounces(self, bounced: Sequence[Communication], *, tries: int) -> None:
        """Keep their addresses, before the outcome is recorded.

        Who dies in between leaves an entry and an attempt whose outcome nobody knows: it is tried
        again, and suppressed. The other way round nobody would learn of the address.
        """
        try:
            if bounced:
                await self._desk.note_bounces(bounced)
        except OutcomeUnknown:
            raise
        except Exception as error:
            if tries < BOUNCE_TRIES:
                raise
            # No bug there may cost the outcome.
            facts = {"results": len(bounced), "error": type(error).__name__}
            log.error("bounced addresses are not kept", extra=facts)

    async def _advance_surely(
        self, moves: Sequence[Move], bounced: Sequence[Communication]
    ) -> list[WorkItem | None]:
        """Record outcomes even if MongoDB is away for a while: they exist nowhere else."""
        ticket = self._desk.communications.ticket()
        for tries in range(RECORD_TRIES):
            try:
                await self._note_bounces(bounced, tries=tries)
                return await self._desk.communications.advance(moves, ticket=ticket)
            except Exception as error:
                # To forget a known outcome is to send twice, whatever MongoDB says.
                facts = {"results": len(moves), "error": type(error).__name__}
                log.warning("outcomes wait for MongoDB", extra=facts)
                await asyncio.sleep(RECORD_PAUSE_S)
        return [None] * len(moves)

    async def _renew(self) -> None:
        """Show what is not answered at once, and keep its leases: SMTP may take ten minutes."""
        between_s = self._desk.lease_s / 3
        pause_s = min(SHOW_AFTER_S, between_s)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = between_s
            open_items = [i for r, i in self._claimed.items() if r not in self._recorded]
            until = self._desk.clock.now() + timedelta(seconds=self._desk.lease_s)
            try:
                await self._desk.communications.show_sending(open_items, until=until)
            except Exception as error:
                log.warning("leases wait for MongoDB", extra={"error": type(error).__name__})
                pause_s = min(SHOW_AFTER_S, between_s)


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
