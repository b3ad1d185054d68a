"""The Delivery Service of a channel: claims a batch, sends it, and records each outcome.

The claim comes before the send: DELIVERY_ATTEMPTED is inserted for the whole batch, and only what
was won is sent (rule D5). Expiry and cancel are decided there too: a cancelled item's next event
is taken (rule D13). No send begins once the lease could run out under it (rule D6), and a send
that takes long has its lease renewed (rule D7).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from cdp.domain.breaker import Breaker
from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import EventName
from cdp.domain.ids import ResultId, text_of
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.ports.handoff import Report, Verdict
from cdp.ports.provider import (
    Accepted,
    EmailAddress,
    EmailMessage,
    FailureClass,
    Outcome,
    Provider,
    Rejected,
    Unknown,
)
from cdp.services.communication_service import CommunicationService, Move
from cdp.services.queueing_service import is_expired, is_suspect
from cdp.storage.communications import Communications
from cdp.storage.delivery_results import DeliveryResults

log = logging.getLogger(__name__)

E = EventName
RECORD_TRIES: Final = 60
ALONE_WAIT_S: Final = 5.0
PROVIDER_TROUBLE: Final = frozenset({FailureClass.THROTTLED, FailureClass.CONFIG})
UNREACHED: Final = frozenset({"connect_failed", "connection_lost", "timeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """Times of the delivery, in seconds."""

    lease_s: float = 60.0
    """How long an attempt is owned by its worker, and renewed while it is under way."""
    answer_s: float = 20.0
    """After this the caller is told what is known; the rest goes on and is recorded."""


class DeliveryService:
    """Delivers batches of one channel through one provider."""

    def __init__(
        self,
        *,
        communications: CommunicationService,
        contents: Communications,
        results: DeliveryResults,
        provider: Provider,
        breaker: Breaker,
        limits: DeliveryLimits,
        message_id_domain: str,
        return_path: Callable[[ResultId], str] | None = None,
        clock: Clock,
        worker: str,
    ) -> None:
        """`worker` is this worker's name, for the events."""
        self._communications = communications
        self._contents = contents
        self._results = results
        self._provider = provider
        self._breaker = breaker
        self._limits = limits
        self._domain = message_id_domain
        self._return_path = return_path
        self._clock = clock
        self._worker = worker
        self._under_way: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Lock()
        self.delivered = 0
        """Messages that a provider has taken from this process."""

    @property
    def breaker_state(self) -> str:
        """Whether the provider is trusted: `closed`, `open` or `half-open`."""
        return self._breaker.state

    async def deliver(self, items: Sequence[WorkItem]) -> list[Report]:
        """Claim, send and record; a report for each item.

        Raises:
            OutcomeUnknown: the claim could not be recorded; nothing was sent.
        """
        suspects = [item for item in items if is_suspect(item)]
        reports = await self._deliver_together([i for i in items if not is_suspect(i)])
        for suspect in suspects:
            reports += await self._deliver_alone(suspect)
        return reports

    async def _deliver_together(self, items: Sequence[WorkItem]) -> list[Report]:
        allowed = self._breaker.allows(len(items), now=self._clock.monotonic()) if items else 0
        if self._alone.locked():
            allowed = 0
        reports = [Report(item=i, verdict=Verdict.DECLINED) for i in items[allowed:]]
        if allowed:
            reports += await _Batch(self, items[:allowed]).run()
        return reports

    async def _deliver_alone(self, suspect: WorkItem) -> list[Report]:
        """A worker vanished with this one before: nothing else is under way beside it."""
        async with self._alone:
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=ALONE_WAIT_S)
            if self._under_way or not self._breaker.allows(1, now=self._clock.monotonic()):
                return [Report(item=suspect, verdict=Verdict.DECLINED)]
            return await _Batch(self, [suspect]).run()

    async def drain(self) -> None:
        """Wait until all that is under way has been recorded."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def close(self) -> None:
        """Give up the provider's connections."""
        await self.drain()
        await self._provider.close()

    def message(self, item: WorkItem, communication: Communication) -> EmailMessage:
        """The same message in every attempt: only `attempt` differs, and it is not sent."""
        message_id = f"{text_of(communication.result_id)}@{self._domain}"
        sender = _address(communication.sender)
        path = self._return_path(item.result_id) if self._return_path else sender.email
        return EmailMessage(
            result_id=item.result_id,
            attempt=item.attempt,
            sender=sender,
            to=_address(communication.to),
            subject=communication.subject,
            html=communication.html,
            text=communication.text,
            date=communication.resolved_at,
            message_id=message_id,
            return_path=path,
            reply_to=_address(communication.reply_to) if communication.reply_to else None,
            cc=tuple(_address(pair) for pair in communication.cc),
            bcc=tuple(_address(pair) for pair in communication.bcc),
            headers=communication.headers,
            deadline_s=self._limits.lease_s * 2 / 3,
        )


class _Batch:
    """One call of `deliver`: its claims, its reports, and what is still under way."""

    def __init__(self, service: DeliveryService, items: Sequence[WorkItem]) -> None:
        self._service = service
        self._items = items
        self._claimed: dict[ResultId, WorkItem] = {}
        self._reports: dict[ResultId, Report] = {}
        self._answered: list[tuple[EmailMessage, Outcome]] = []
        self._news = asyncio.Event()
        self._done = False

    async def run(self) -> list[Report]:
        service = self._service
        await self._claim()
        if self._claimed:
            task = asyncio.create_task(self._send_and_record())
            service._under_way.add(task)
            task.add_done_callback(service._under_way.discard)
            await asyncio.wait([task], timeout=service._limits.answer_s)
        for result_id, item in self._claimed.items():
            if result_id not in self._reports:
                self._reports[result_id] = Report(item=item, verdict=Verdict.UNDER_WAY)
        return list(self._reports.values())

    async def _claim(self) -> None:
        service = self._service
        now = service._clock.now()
        lease_ends = now + timedelta(seconds=service._limits.lease_s)
        moves = [self._claiming(item, is_expired(item, now), lease_ends) for item in self._items]
        after = await service._communications.advance(moves)
        for move, item in zip(moves, after, strict=True):
            if item is None:
                report = Report(item=move.item, verdict=Verdict.OVERTAKEN)
                self._reports[move.item.result_id] = report
            elif item.is_final:
                self._reports[item.result_id] = Report(item=item, verdict=Verdict.CLOSED)
            else:
                self._claimed[item.result_id] = item

    def _claiming(self, item: WorkItem, expired: bool, lease_ends: Any) -> Move:
        if expired:
            return Move(item=item, name=E.EXPIRED, metadata={"reason": "expires_at"})
        metadata = {
            "attempt": item.attempt + 1,
            "due_at": lease_ends,
            "worker": self._service._worker,
        }
        return Move(item=item, name=E.DELIVERY_ATTEMPTED, metadata=metadata)

    async def _send_and_record(self) -> None:
        service = self._service
        claimed = list(self._claimed.values())
        contents = await service._contents.across_clients([i.result_id for i in claimed])
        messages = [service.message(item, contents[item.result_id]) for item in claimed]
        recorder = asyncio.create_task(self._record())
        renewer = asyncio.create_task(self._renew())
        try:
            await service._provider.deliver(messages, self._on_outcome)
        except Exception:
            # A provider never raises for what its vendor answers, so this is a bug; what it has
            # not reported is unknown when the lease ends, and nothing else stands still for it.
            log.exception("the provider failed", extra={"messages": len(messages)})
        finally:
            renewer.cancel()
            self._done = True
            self._news.set()
            await recorder
            with contextlib.suppress(asyncio.CancelledError):
                await renewer

    def _on_outcome(self, message: EmailMessage, outcome: Outcome) -> None:
        self._answered.append((message, outcome))
        self._service._breaker.note(is_trouble(outcome), now=self._service._clock.monotonic())
        self._news.set()

    async def _record(self) -> None:
        """Record what was answered while the record before it was being written."""
        while True:
            await self._news.wait()
            self._news.clear()
            answered, self._answered = self._answered, []
            if answered:
                await self._record_group(answered)
            elif self._done:
                return
            if self._done:
                self._news.set()

    async def _record_group(self, answered: Sequence[tuple[EmailMessage, Outcome]]) -> None:
        self._service.delivered += sum(isinstance(o, Accepted) for _, o in answered)
        moves = [
            _outcome_move(self._claimed[ResultId(message.result_id)], outcome)
            for message, outcome in answered
        ]
        after = await self._advance_surely(moves)
        for (_, outcome), move, item in zip(answered, moves, after, strict=True):
            if item is None:
                verdict, item = Verdict.OVERTAKEN, move.item
            else:
                verdict = Verdict.DELIVERED if item.is_final else Verdict.FAILED
            retry_after = outcome.retry_after_s if isinstance(outcome, Rejected) else None
            self._reports[item.result_id] = Report(
                item=item, verdict=verdict, retry_after_s=retry_after
            )

    async def _advance_surely(self, moves: Sequence[Move]) -> list[WorkItem | None]:
        """Record outcomes even if MongoDB is away for a while: they exist nowhere else."""
        for _ in range(RECORD_TRIES):
            try:
                return await self._service._communications.advance(moves)
            except OutcomeUnknown:
                log.warning("outcomes wait for MongoDB", extra={"results": len(moves)})
                await asyncio.sleep(1.0)
        return [None] * len(moves)

    async def _renew(self) -> None:
        """Keep the leases of what is under way, which may take SMTP's ten minutes."""
        service = self._service
        while True:
            await asyncio.sleep(service._limits.lease_s / 3)
            open_items = [i for r, i in self._claimed.items() if r not in self._reports]
            until = service._clock.now() + timedelta(seconds=service._limits.lease_s)
            with contextlib.suppress(OutcomeUnknown):
                await service._results.renew(open_items, until)


def is_trouble(outcome: Outcome) -> bool:
    """Whether an outcome speaks against the provider, not against the message."""
    if isinstance(outcome, Rejected):
        return outcome.failure in PROVIDER_TROUBLE or outcome.code in UNREACHED
    return isinstance(outcome, Unknown)


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


def _address(pair: tuple[str, str]) -> EmailAddress:
    return EmailAddress(email=pair[0], name=pair[1])
