"""The Delivery Service of a channel: claims a batch, sends it, and records each outcome.

The claim comes before the send: DELIVERY_ATTEMPTED is inserted for the whole batch, and only what
was won is sent (rule D5). Expiry and cancel are decided there too: a cancelled item's next event
is taken (rule D13). No send begins once the lease could run out under it (rule D6), and a send
that takes long has its lease renewed (rule D7).
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cdp.domain.breaker import Breaker
from cdp.domain.communication import Communication
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ResultId, text_of
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
from cdp.services.communication_service import CommunicationService
from cdp.services.delivery_batch import DeliveryBatch, Desk
from cdp.services.queueing_service import is_suspect
from cdp.storage.communications import Communications

PROVIDER_TROUBLE: Final = frozenset({FailureClass.THROTTLED, FailureClass.CONFIG})
UNREACHED: Final = frozenset({"connect_failed", "connect_timeout", "connection_lost", "timeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """Times of the delivery, in seconds."""

    lease_s: float = 60.0
    """How long an attempt is owned by its worker, and renewed while it is under way."""
    answer_s: float = 2.0
    """After this the caller is told what is known; the rest goes on and is recorded."""
    alone_wait_s: float = 5.0
    """How long a suspect waits until nothing else is under way; then it is declined."""
    in_flight_max: int = 1_000
    """Messages that may be claimed and unanswered in this worker; more are declined."""


class DeliveryService:
    """Delivers batches of one channel through one provider."""

    def __init__(
        self,
        *,
        communications: CommunicationService,
        contents: Communications,
        provider: Provider[Any],
        breaker: Breaker,
        limits: DeliveryLimits,
        message_id_domain: str,
        return_path: Callable[[ResultId], str] | None = None,
        clock: Clock,
        worker: str,
    ) -> None:
        """`worker` is this worker's name, for the events."""
        self._provider = provider
        self._breaker = breaker
        self._clock = clock
        self._domain = message_id_domain
        self._return_path = return_path
        self._answer_s = limits.answer_s
        self._alone_wait_s = limits.alone_wait_s
        self._in_flight_max = limits.in_flight_max
        self._desk = Desk(
            communications=communications,
            contents=contents,
            provider=provider,
            clock=clock,
            worker=worker,
            lease_s=limits.lease_s,
            answer_s=limits.answer_s,
            compose=self.message,
            on_outcome=self._on_outcome,
        )
        self._batches: set[DeliveryBatch] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._alone = asyncio.Lock()
        self._is_ending = False
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
        begun = self._clock.monotonic()
        reports = await self._deliver_together([i for i in items if not is_suspect(i)])
        is_open = True
        for suspect in (item for item in items if is_suspect(item)):
            # Where one waited in vain for the others to end, the next would, too.
            if is_open and self._clock.monotonic() - begun < self._answer_s:
                alone = await self._deliver_alone(suspect)
                is_open = all(report.verdict is not Verdict.DECLINED for report in alone)
                reports += alone
            else:
                reports.append(Report(item=suspect, verdict=Verdict.DECLINED))
        return reports

    async def _deliver_together(self, items: Sequence[WorkItem]) -> list[Report]:
        closed = self._alone.locked() or self._is_ending
        room = 0 if closed else max(0, self._in_flight_max - self.in_flight)
        wanted = min(len(items), room)
        allowed = self._breaker.allows(wanted, now=self._clock.monotonic()) if wanted else 0
        reports = [Report(item=i, verdict=Verdict.DECLINED) for i in items[allowed:]]
        if allowed:
            reports += await self._run(items[:allowed])
        return reports

    async def _deliver_alone(self, suspect: WorkItem) -> list[Report]:
        """A worker vanished with this one before: nothing else is under way beside it (D10)."""
        async with self._alone:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), self._alone_wait_s)
            is_free = not self._batches and not self._is_ending
            if not is_free or not self._breaker.allows(1, now=self._clock.monotonic()):
                return [Report(item=suspect, verdict=Verdict.DECLINED)]
            return await self._run([suspect])

    async def _run(self, items: Sequence[WorkItem]) -> list[Report]:
        batch = DeliveryBatch(self._desk, items)
        self._batches.add(batch)
        self._idle.clear()
        kept: list[asyncio.Task[None]] = []
        try:
            return await batch.run(kept.append)
        finally:
            if kept and not kept[0].done():
                kept[0].add_done_callback(lambda _: self._end(batch))
            else:
                self._end(batch)

    def _end(self, batch: DeliveryBatch) -> None:
        self._batches.discard(batch)
        if not self._batches:
            self._idle.set()

    @property
    def in_flight(self) -> int:
        """Messages that are claimed and whose outcome is not recorded yet."""
        return sum(batch.in_flight for batch in self._batches)

    def _on_outcome(self, outcome: Outcome) -> None:
        self.delivered += isinstance(outcome, Accepted)
        self._breaker.note(is_trouble(outcome), now=self._clock.monotonic())

    async def drain(self) -> None:
        """Take nothing more, and wait until all that is under way has been recorded."""
        self._is_ending = True
        await self._idle.wait()

    async def close(self) -> None:
        """Give up the provider's connections."""
        await self.drain()
        await self._provider.close()

    def message(
        self, item: WorkItem, communication: Communication, deadline_s: float
    ) -> EmailMessage:
        """The same message in every attempt: what differs is not sent."""
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
            message_id=f"{text_of(communication.result_id)}@{self._domain}",
            return_path=path,
            reply_to=_address(communication.reply_to) if communication.reply_to else None,
            cc=tuple(_address(pair) for pair in communication.cc),
            bcc=tuple(_address(pair) for pair in communication.bcc),
            headers=communication.headers,
            deadline_s=deadline_s,
        )


def is_trouble(outcome: Outcome) -> bool:
    """Whether an outcome speaks against the provider, not against the message."""
    if isinstance(outcome, Rejected):
        return outcome.failure in PROVIDER_TROUBLE or outcome.code in UNREACHED
    return isinstance(outcome, Unknown)


def _address(pair: tuple[str, str]) -> EmailAddress:
    return EmailAddress(email=pair[0], name=pair[1])
