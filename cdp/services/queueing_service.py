"""The Queueing Service: decides what happens next to each communication, and when.

It takes what is due out of its shard's buffers, has it rendered, and queues it for delivery,
schedules it for later or closes it. What comes back failed is retried by the policy of its client,
channel, campaign and segment. Every decision is the item's next event; who is overtaken looks at
the log and decides anew.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.campaign import HELD_UNTIL
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import WORKER_LOST, EventName, Status
from cdp.domain.ids import Partition
from cdp.domain.retry import GiveUp, RetryPolicy, after_failure
from cdp.ports.clock import Clock
from cdp.ports.handoff import ContentResolver, Handoff, Report, Verdict, WorkerLost
from cdp.services.campaign_rules import CampaignRules
from cdp.services.client_config_service import ClientConfigService
from cdp.services.communication_service import CommunicationService, Move
from cdp.services.rate_rules import RATE, RateRules
from cdp.services.send_hours_rules import SendHoursRules

log = logging.getLogger(__name__)

E = EventName
RENDER_AHEAD: Final = timedelta(minutes=10)
"""What is due within this time is rendered on acceptance; the rest when it is due."""
HAND_OFF: Final = timedelta(seconds=10)
"""How long a queued item may wait for its worker before it is handed off again."""
PROVIDER_PAUSE: Final = timedelta(seconds=20)
"""How long what was declined for the whole hand-off time is put off."""


@dataclass(slots=True, kw_only=True)
class Decided:
    """What a batch came to, for the shard's loops and counters."""

    settled: list[WorkItem] = field(default_factory=list)
    """Done with for now: final, scheduled, or under way elsewhere."""
    again: list[WorkItem] = field(default_factory=list)
    """To be decided on anew, at once."""
    parked: list[WorkItem] = field(default_factory=list)
    """To be handed off again after a short wait."""
    full: list[WorkItem] = field(default_factory=list)
    """To be handed off again as soon as their worker has a hand free."""
    waiting: list[tuple[WorkItem, datetime]] = field(default_factory=list)
    """To be handed off again at this moment: its rate is spent until then."""
    scheduled: list[WorkItem] = field(default_factory=list)
    """Those of the settled that the Scheduler should know of."""
    behind: int = 0
    """How many had to wait in their worker."""


class QueueingService:
    """Decides in batches. What it holds is what it heard of rates; the rest is in `ShardState`."""

    def __init__(
        self,
        *,
        communications: CommunicationService,
        config: ClientConfigService,
        resolver: ContentResolver,
        handoff: Handoff,
        campaigns: CampaignRules,
        clock: Clock,
        draw: Callable[[], float],
    ) -> None:
        """`draw` gives random numbers in [0, 1), for the jitter."""
        self._communications = communications
        self._config = config
        self._resolver = resolver
        self._handoff = handoff
        self._campaigns = campaigns
        self._hours = SendHoursRules(config)
        self._rates = RateRules()
        self._clock = clock
        self._draw = draw

    async def prepare(
        self, items: Sequence[WorkItem], *, epochs: Mapping[Partition, int]
    ) -> tuple[list[WorkItem], Decided]:
        """Decide on each item; those that are queued now, and what the others came to.

        Args:
            items: each due or new.
            epochs: of the partitions' leases, for the QUEUED events.

        Raises:
            OutcomeUnknown: MongoDB could not be asked; the items' `due_at` brings them back.
        """
        decided = Decided()
        # Of a partition that has changed hands meanwhile, another shard decides.
        decided.settled.extend(i for i in items if i.partition not in epochs)
        owned = [item for item in items if item.partition in epochs]
        ready = await self._decide(owned, decided)
        queued = await self._queue(await self._with_content(ready, decided), epochs, decided)
        return queued, decided

    async def deliver(self, items: Sequence[WorkItem]) -> Decided:
        """Hand queued items of one lane to a worker, and act on its reports."""
        decided = Decided()
        try:
            reports = await self._handoff.deliver(items[0].lane, items)
        except WorkerLost:
            # What it claimed is unknown until the lease ends; `due_at` brings all of it back.
            decided.settled.extend(items)
            return decided
        await self.take_reports(reports, decided)
        return decided

    async def _decide(self, items: Sequence[WorkItem], decided: Decided) -> list[WorkItem]:
        """Settle what is not to be sent now; what is left is."""
        now = self._clock.now()
        policies = await self._config.retry_policies(
            i for i in items if i.status in (Status.SENDING, Status.FAILED)
        )
        moves: list[Move] = []
        lapsed: list[WorkItem] = []
        ready: list[WorkItem] = []
        later: list[WorkItem] = []
        for item in items:
            is_sending = item.status is Status.SENDING
            if item.is_final or (is_sending and item.due_at > now):
                decided.settled.append(item)
            elif is_sending:
                lapsed.append(item)
            elif move := self._ending(item, now):
                moves.append(move)
            elif item.status is Status.FAILED:
                moves.append(self._after_failure(item, policies[item.result_id], now))
            elif item.status is Status.SCHEDULED and item.due_at > now:
                decided.settled.append(item)
                decided.scheduled.append(item)
            elif move := self._campaigns.held(item):
                moves.append(move)
            elif item.send_at is not None and item.send_at > now:
                later.append(item)
            elif move := self._campaigns.spread(item, now) or self._rates.waits(item, now):
                moves.append(move)
            else:
                ready.append(item)
        moves += await self._lost(lapsed, now, decided)
        moves += await self._schedule(later, now, decided)
        closed = await self._hours.closed(ready, now)
        ready = _without(ready, closed)
        capped = await self._campaigns.too_often(ready, now)
        await self._record([*moves, *closed, *capped], decided)
        return _without(ready, capped)

    async def _lost(self, items: Sequence[WorkItem], now: datetime, decided: Decided) -> list[Move]:
        """The failure of attempts whose lease has ended.

        A copy that has waited here may know nothing of a renewal, so all are looked at once more.
        """
        current = await self._communications.repair(items) if items else []
        gone = [i for i in current if i.status is Status.SENDING and i.due_at <= now]
        decided.again.extend(i for i in current if i.status is not Status.SENDING)
        decided.settled.extend(i for i in current if i.status is Status.SENDING and i.due_at > now)
        metadata = {"reason": "unknown", "outcome": "unknown", "code": WORKER_LOST}
        return [Move(item=item, name=E.DELIVERY_FAILED, metadata=metadata) for item in gone]

    def _ending(self, item: WorkItem, now: datetime) -> Move | None:
        """What ends an item, whatever else would become of it."""
        if is_expired(item, now):
            return Move(item=item, name=E.EXPIRED, metadata={"reason": "expires_at"})
        return self._campaigns.cancelled(item)

    async def _schedule(
        self, items: Sequence[WorkItem], now: datetime, decided: Decided
    ) -> list[Move]:
        """Render what is due soon, so that it leaves on the second; then schedule all."""
        soon = [i for i in items if i.send_at and i.send_at - now <= RENDER_AHEAD]
        far = [i for i in items if i.send_at and i.send_at - now > RENDER_AHEAD]
        rendered = await self._with_content(soon, decided)
        return [
            Move(item=item, name=E.SCHEDULED, metadata={"reason": "send_at", "due_at": _due(item)})
            for item in [*rendered, *far]
        ]

    async def _with_content(self, items: Sequence[WorkItem], decided: Decided) -> list[WorkItem]:
        """The items with content; those that can't have any are closed."""
        bare = [item for item in items if not item.has_content]
        if not bare:
            return list(items)
        try:
            resolutions = await self._resolver.resolve(bare)
        except WorkerLost:
            decided.parked.extend(bare)
            return [item for item in items if item.has_content]
        done = [item for item in items if item.has_content]
        refused: list[Move] = []
        overtaken: list[WorkItem] = []
        for resolution in resolutions:
            if resolution.refusal is not None:
                metadata = {"reason": resolution.refusal, "detail": resolution.detail}
                refused.append(Move(item=resolution.item, name=E.UNDELIVERABLE, metadata=metadata))
            elif resolution.overtaken:
                overtaken.append(resolution.item)
            else:
                done.append(resolution.item)
        decided.again.extend(await self._communications.repair(overtaken) if overtaken else [])
        await self._record(refused, decided)
        return done

    async def _queue(
        self, items: Sequence[WorkItem], epochs: Mapping[Partition, int], decided: Decided
    ) -> list[WorkItem]:
        now = self._clock.now()
        handed = [i for i in items if _is_handed_off(i, now)]
        hand_off = now + HAND_OFF
        moves = [
            Move(item=item, name=E.QUEUED, metadata=_queueing(item, epochs, hand_off))
            for item in items
            if not _is_handed_off(item, now)
        ]
        return handed + await self._advance(moves, decided)

    async def take_reports(self, reports: Iterable[Report], decided: Decided) -> None:
        """Act on what a worker reported: retry, park, look again, or be done."""
        failed: list[Report] = []
        overtaken: list[WorkItem] = []
        declined: list[WorkItem] = []
        held: list[WorkItem] = []
        limited: list[Report] = []
        for report in reports:
            decided.behind += report.is_behind
            if report.verdict is Verdict.FAILED:
                failed.append(report)
            elif report.verdict is Verdict.OVERTAKEN:
                overtaken.append(report.item)
            elif report.verdict is Verdict.DECLINED:
                declined.append(report.item)
            elif report.verdict is Verdict.HELD:
                held.append(report.item)
            elif report.verdict is Verdict.FULL:
                decided.full.append(report.item)
            elif report.verdict is Verdict.LIMITED:
                limited.append(report)
            else:
                decided.settled.append(report.item)
        if overtaken:
            decided.again.extend(await self._communications.repair(overtaken))
        await self._wait_for_provider(declined, decided)
        await self._hold(held, decided)
        await self._wait_for_rate(limited, decided)
        if failed:
            now = self._clock.now()
            policies = await self._config.retry_policies(r.item for r in failed)
            moves = [
                self._after_failure(
                    r.item, policies[r.item.result_id], now, retry_after_s=r.retry_after_s
                )
                for r in failed
            ]
            await self._record(moves, decided)

    async def _hold(self, items: Sequence[WorkItem], decided: Decided) -> None:
        """Schedule what its worker took for held; where the worker knows more, wait a little."""
        moves = []
        for item in items:
            move = self._campaigns.cancelled(item) or self._campaigns.held(item)
            if move is None:
                decided.parked.append(item)
            else:
                moves.append(move)
        await self._record(moves, decided)

    async def _wait_for_provider(self, items: Sequence[WorkItem], decided: Decided) -> None:
        """Keep the declined in memory while they count as handed off; then schedule them."""
        now = self._clock.now()
        decided.parked.extend(item for item in items if _is_handed_off(item, now))
        due_at = now + PROVIDER_PAUSE
        moves = [
            Move(item=item, name=E.SCHEDULED, metadata={"reason": "provider", "due_at": due_at})
            for item in items
            if not _is_handed_off(item, now)
        ]
        await self._record(moves, decided)

    async def _wait_for_rate(self, limited: Sequence[Report], decided: Decided) -> None:
        """Keep in memory what may go soon, and schedule the rest."""
        in_memory, moves = self._rates.told_to_wait(limited, self._clock.now())
        decided.waiting.extend(in_memory)
        await self._record(moves, decided)

    def _after_failure(
        self,
        item: WorkItem,
        policy: RetryPolicy,
        now: datetime,
        *,
        retry_after_s: float | None = None,
    ) -> Move:
        if move := self._campaigns.cancelled(item):
            return move
        verdict = after_failure(
            policy,
            attempt=item.attempt - item.replayed_after,
            failure=item.reason or "transient",
            lost=item.lost,
            retry_after_s=retry_after_s,
            draw=self._draw(),
        )
        if isinstance(verdict, GiveUp):
            metadata = {"reason": verdict.reason, "attempts": item.attempt}
            return Move(item=item, name=E.UNDELIVERABLE, metadata=metadata)
        due_at = now + verdict.wait
        if item.expires_at is not None:
            due_at = min(due_at, item.expires_at)
        due_at = due_at.replace(microsecond=due_at.microsecond // 1000 * 1000)
        return Move(item=item, name=E.SCHEDULED, metadata={"reason": "retry", "due_at": due_at})

    async def _record(self, moves: Sequence[Move], decided: Decided) -> None:
        """Append events after which nothing is to be done at once."""
        recorded = await self._advance(moves, decided)
        self._campaigns.note_held(recorded)
        for item in recorded:
            if item.status is Status.FAILED:
                decided.again.append(item)
                continue
            decided.settled.append(item)
            if item.status is Status.SCHEDULED and item.due_at < HELD_UNTIL:
                decided.scheduled.append(item)

    async def _advance(self, moves: Sequence[Move], decided: Decided) -> list[WorkItem]:
        """Append events; who was overtaken is looked up and decided on anew."""
        if not moves:
            return []
        after = await self._communications.advance(moves)
        lost = [m.item for m, item in zip(moves, after, strict=True) if item is None]
        if lost:
            decided.again.extend(await self._communications.repair(lost))
        return [item for item in after if item is not None]


def _queueing(
    item: WorkItem, epochs: Mapping[Partition, int], hand_off: datetime
) -> dict[str, object]:
    metadata: dict[str, object] = {
        "queue": item.lane,
        "epoch": epochs[item.partition],
        "due_at": hand_off,
    }
    if item.reason == RATE:
        metadata["reason"] = RATE
    return metadata


def _without(items: Sequence[WorkItem], moves: Sequence[Move]) -> list[WorkItem]:
    """The items that have no move yet."""
    moved = {move.item.result_id for move in moves}
    return [item for item in items if item.result_id not in moved]


def is_expired(item: WorkItem, now: datetime) -> bool:
    """Whether it is too late to begin an attempt."""
    return item.expires_at is not None and item.expires_at <= now


def is_suspect(item: WorkItem) -> bool:
    """Whether a worker vanished with it last time: then it is tried alone (rule D10)."""
    return item.lost > 0


def _is_handed_off(item: WorkItem, now: datetime) -> bool:
    return item.status is Status.QUEUED and item.due_at > now


def _due(item: WorkItem) -> datetime:
    assert item.send_at is not None
    return item.send_at
