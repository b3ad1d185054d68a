"""The Delivery Service of a channel: claims a batch, sends it, and records each outcome.

The claim comes before the send: DELIVERY_ATTEMPTED is inserted for the whole batch, and only what
was won is sent (rule D5). Expiry and cancel are decided there too: a cancelled item's next event
is taken (rule D13). No send begins once the lease could run out under it (rule D6), and a send
that takes long has its lease renewed (rule D7).
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cdp.domain.campaign import CampaignRoster
from cdp.domain.delivery_result import WorkItem
from cdp.errors import OutcomeUnknown
from cdp.ports.clock import Clock
from cdp.ports.handoff import Report, Verdict
from cdp.ports.provider import Accepted, Outcome
from cdp.services.communication_service import CommunicationService
from cdp.services.delivery_batch import Assigned, Chosen, Compose, DeliveryBatch, Desk
from cdp.services.outcome_recorder import OutcomeRecorder
from cdp.services.provider_roster import OpenProvider, Providers, choose
from cdp.services.queueing_service import is_suspect
from cdp.services.rate_limiter import RateLimiter
from cdp.services.suppression_service import NOTHING_WITHHELD, SuppressionService
from cdp.storage.communications import Communications


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
    """Delivers batches of one channel, each message through the provider that it is routed to."""

    def __init__(
        self,
        *,
        communications: CommunicationService,
        contents: Communications,
        providers: Providers,
        suppressions: SuppressionService,
        limits: DeliveryLimits,
        compose: Compose,
        clock: Clock,
        worker: str,
        campaigns: CampaignRoster | None = None,
        rates: RateLimiter | None = None,
    ) -> None:
        """`worker` is this worker's name, for the events; without `campaigns` none holds, and
        without `rates` nothing is limited."""
        self._rates = rates
        self._providers = providers
        self._suppressions = suppressions
        self._contents = contents
        self._clock = clock
        self._answer_s = limits.answer_s
        self._alone_wait_s = limits.alone_wait_s
        self._in_flight_max = limits.in_flight_max
        self._desk = Desk(
            communications=communications,
            clock=clock,
            worker=worker,
            lease_s=limits.lease_s,
            answer_s=limits.answer_s,
            compose=compose,
            on_outcome=self._on_outcome,
            is_alone=lambda: len(self._batches) <= 1,
            recorder=OutcomeRecorder(communications, note_bounces=suppressions.note_bounces),
            campaigns=CampaignRoster() if campaigns is None else campaigns,
        )
        self._batches: set[DeliveryBatch] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._alone = asyncio.Lock()
        self._is_ending = False
        self.delivered = 0
        """Messages that a provider has taken from this process."""

    def breakers(self) -> Mapping[str, str]:
        """Whether each provider is trusted: `closed`, `open` or `half-open`."""
        return self._providers.states()

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
        chosen = await self._choose(items[:room])
        reports = [
            Report(item=item, verdict=Verdict.DECLINED)
            for item in (items if closed else items[:room])
            if item.result_id not in chosen
        ]
        if not closed:
            # That is no trouble of a provider's, and over as soon as some are answered.
            reports += [Report(item=item, verdict=Verdict.FULL) for item in items[room:]]
        if chosen:
            ready = [item for item in items if item.result_id in chosen]
            reports += await self._run_in_time(ready, chosen)
        return reports

    async def _run_in_time(self, items: Sequence[WorkItem], chosen: Chosen) -> list[Report]:
        """Send what the rates allow now."""
        held_back = [] if self._rates is None else await self._rates.held_back(items, chosen)
        if not held_back:
            return await self._run(items, chosen)
        later = {report.item.result_id for report in held_back}
        now = [item for item in items if item.result_id not in later]
        return held_back + (await self._run(now, chosen) if now else [])

    async def _choose(self, items: Sequence[WorkItem]) -> Chosen:
        """Who gets each item; those that nobody can take now are left out."""
        if not items:
            return {}
        try:
            contents, routes = await asyncio.gather(
                self._contents.across_clients([item.result_id for item in items]),
                self._providers.routes(items),
            )
            withheld = await self._suppressions.of(contents.values())
        except OutcomeUnknown:
            # MongoDB was not there to be asked, and nothing has been claimed.
            return {}
        platforms = {
            result_id: platform
            for result_id, content in contents.items()
            if (platform := content.to_details.get("platform")) is not None
        }
        fit = [
            [each for each in route if each.takes(platforms.get(item.result_id))]
            for item, route in zip(items, routes, strict=True)
        ]
        chosen = choose(items, fit, now=self._clock.monotonic())
        return {
            item.result_id: Assigned(
                provider=chosen[item.result_id],
                content=contents.get(item.result_id),
                withheld=withheld.get(item.result_id, NOTHING_WITHHELD),
            )
            for item in items
            if item.result_id in chosen
        }

    async def _deliver_alone(self, suspect: WorkItem) -> list[Report]:
        """A worker vanished with this one before: nothing else is under way beside it (D10)."""
        async with self._alone:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), self._alone_wait_s)
            is_free = not self._batches and not self._is_ending
            chosen = await self._choose([suspect]) if is_free else {}
            if not chosen:
                return [Report(item=suspect, verdict=Verdict.DECLINED)]
            return await self._run_in_time([suspect], chosen)

    async def _run(self, items: Sequence[WorkItem], chosen: Chosen) -> list[Report]:
        batch = DeliveryBatch(self._desk, items, chosen)
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

    def _on_outcome(self, provider: OpenProvider, outcome: Outcome) -> None:
        self.delivered += isinstance(outcome, Accepted)
        provider.note(outcome, now=self._clock.monotonic())

    async def drain(self) -> None:
        """Take nothing more, and wait until all that is under way has been recorded."""
        self._is_ending = True
        await self._idle.wait()

    async def close(self) -> None:
        """Give up the providers' connections."""
        await self.drain()
        await self._providers.close()
