"""What a queue shard holds in memory: a bounded copy of the durable queue, and what to pull next.

Pure: no clock, no I/O. `QueueingService` feeds it hints and what it pulled from MongoDB, takes
batches out of it and tells it when an item is done with. Losing it loses nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.delivery_result import WorkItem
from cdp.domain.fairness import FairQueue
from cdp.domain.ids import ClientId, Partition, ResultId
from cdp.domain.lane import LEVELS, Level

MARGIN: Final = timedelta(seconds=10)
"""How far behind the emptied time a pull starts: `due_at` is set before a write is visible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLimits:
    """Bounds on memory."""

    level_max: int = 5_000
    """Items that a level may hold. Each level has its own room, so bulk never fills the urgent."""
    client_max: int = 2_000
    """Items that one client may have in one level."""
    client_low: int = 500
    """A client with more than so many there is not pulled for: each pull meets all that is known
    of the client once more."""
    pull_max: int = 1_000
    parked_max: int = 2_000
    sources_max: int = 10_000

    def __post_init__(self) -> None:
        assert self.client_low < self.client_max <= self.level_max


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """A query that would bring in more of one client's work."""

    level: Level
    client_id: ClientId
    after: datetime | None
    limit: int


@dataclass(slots=True)
class _Source:
    """What is known of one client's work in MongoDB on one level."""

    emptied_to: datetime | None = None
    maybe_more: bool = False
    """There may be more in MongoDB than is known here: a pull is worth making."""
    is_behind: bool = False
    """There certainly was more than found room: hints wait for their turn in MongoDB."""


@dataclass(slots=True)
class _Parked:
    item: WorkItem
    until: datetime


@dataclass(slots=True)
class ShardState:
    """The buffers, who is in flight, and where MongoDB may have more."""

    limits: ShardLimits = field(default_factory=ShardLimits)
    partitions: frozenset[Partition] = frozenset()
    _buffers: dict[Level, FairQueue[WorkItem]] = field(
        default_factory=lambda: {level: FairQueue() for level in LEVELS}
    )
    _known: dict[ResultId, tuple[ClientId, str]] = field(default_factory=dict)
    _known_of: Counter[ClientId] = field(default_factory=Counter)
    _known_in: Counter[str] = field(default_factory=Counter)
    _parked: dict[ResultId, _Parked] = field(default_factory=dict)
    _sources: dict[tuple[Level, ClientId], _Source] = field(default_factory=dict)

    def own(self, partitions: Iterable[Partition]) -> None:
        """Set which partitions are owned; work of others is dropped from the buffers."""
        owned = frozenset(partitions)
        if owned - self.partitions:
            self.rescan()
        lost = self.partitions - owned
        self.partitions = owned
        if not lost:
            return
        for buffer in self._buffers.values():
            for item in buffer.clear():
                if item.partition in owned:
                    buffer.put(item.client_id, item)
                else:
                    self._forget(item.result_id)
        for result_id, parked in list(self._parked.items()):
            if parked.item.partition not in owned:
                self._forget(result_id)

    def hint(self, items: Iterable[WorkItem]) -> int:
        """Take in what somebody says is new or due. How many were taken.

        Of a client that has more in MongoDB than is held here, hints are not taken: the pulls
        bring its work in order, and fresh hints would keep the old waiting for ever.
        """
        return self.offer(
            item
            for item in items
            if (source := self._sources.get(((item.lane, item.priority), item.client_id))) is None
            or not source.is_behind
        )

    def offer(self, items: Iterable[WorkItem]) -> int:
        """Take in what is new and has room; the rest stays in MongoDB. How many were taken."""
        taken = 0
        for item in items:
            if item.partition not in self.partitions or item.is_final:
                continue
            if item.result_id in self._known:
                continue
            level = (item.lane, item.priority)
            buffer = self._buffers[level]
            source = self._sources.setdefault((level, item.client_id), _Source())
            full = len(buffer) >= self.limits.level_max
            if full or buffer.waiting_of(item.client_id) >= self.limits.client_max:
                source.maybe_more = source.is_behind = True
                continue
            self._known[item.result_id] = item.client_id, item.lane
            self._known_of[item.client_id] += 1
            self._known_in[item.lane] += 1
            buffer.put(item.client_id, item)
            taken += 1
        return taken

    def take(self, lane: str, limit: int) -> list[WorkItem]:
        """The next items of a lane, by priority and then in fair turns; they are now in flight."""
        taken: list[WorkItem] = []
        for level, buffer in self._buffers.items():
            if level[0] == lane and len(taken) < limit:
                taken.extend(buffer.take(limit - len(taken)))
        return taken

    def waiting(self, lane: str) -> int:
        """How many items of a lane wait in memory."""
        return sum(len(buffer) for level, buffer in self._buffers.items() if level[0] == lane)

    def demand(self, lane: str) -> int:
        """How many items of a lane are in memory: waiting, on their way, or parked."""
        return self._known_in[lane]

    def oldest_due(self, lane: str) -> datetime | None:
        """Since when the item that waits longest in memory is due."""
        return min(
            (
                item.due_at
                for level, buffer in self._buffers.items()
                if level[0] == lane
                for item in buffer.heads()
            ),
            default=None,
        )

    def settle(self, result_ids: Iterable[ResultId]) -> None:
        """These are done with for now; met again, they are new."""
        for result_id in result_ids:
            self._forget(result_id)

    def _forget(self, result_id: ResultId) -> None:
        self._parked.pop(result_id, None)
        known = self._known.pop(result_id, None)
        if known is not None:
            client_id, lane = known
            self._known_in[lane] -= 1
            self._known_of[client_id] -= 1
            if not self._known_of[client_id]:
                del self._known_of[client_id]

    def park(self, items: Iterable[WorkItem], until: datetime) -> None:
        """Keep these in memory for a short wait that is no event, such as a provider's pause.

        What finds no room is forgotten: its `due_at` brings it back.
        """
        for item in items:
            if len(self._parked) < self.limits.parked_max:
                self._parked[item.result_id] = _Parked(item=item, until=until)
            else:
                self._forget(item.result_id)

    def unpark(self, now: datetime) -> int:
        """Give those whose wait is over back to their buffers."""
        ready = [parked.item for parked in self._parked.values() if parked.until <= now]
        self.settle(item.result_id for item in ready)
        return self.offer(ready)

    def is_short(self) -> bool:
        """Whether a pull would find room and perhaps work."""
        return bool(self.pulls())

    def is_active(self, level: Level, client_ids: Iterable[ClientId]) -> None:
        """Note that these clients have something due in MongoDB."""
        for client_id in client_ids:
            self._sources.setdefault((level, client_id), _Source()).maybe_more = True

    def rescan(self) -> None:
        """Look at everything again: what slipped below the emptied times, or is newly owned."""
        if len(self._sources) > self.limits.sources_max:
            # Who has anything due is found again by the next poll.
            self._sources.clear()
        for source in self._sources.values():
            source.emptied_to = None
            source.maybe_more = True

    def pulls(self) -> list[Pull]:
        """The queries that are worth making: where there may be more, and there is room."""
        wanted = []
        for (level, client_id), source in self._sources.items():
            buffer = self._buffers[level]
            held = buffer.waiting_of(client_id)
            room = min(self.limits.client_max - held, self.limits.level_max - len(buffer))
            if not source.maybe_more or held > self.limits.client_low or room <= 0:
                continue
            # Those already known stand in the index too and are walked over.
            limit = min(room, self.limits.pull_max) + self._known_of[client_id]
            wanted.append(
                Pull(level=level, client_id=client_id, after=source.emptied_to, limit=limit)
            )
        return wanted

    def pulled(self, pull: Pull, items: Sequence[WorkItem], until: datetime) -> int:
        """Take in what a pull brought. How many were new."""
        source = self._sources.setdefault((pull.level, pull.client_id), _Source())
        source.maybe_more = source.is_behind = False
        taken = self.offer(items)
        if len(items) >= pull.limit:
            source.maybe_more = source.is_behind = True
        elif not source.maybe_more:
            source.emptied_to = until - MARGIN
        return taken

    def held(self) -> Mapping[str, int]:
        """How much is in memory, by kind: for status and for the bound's test."""
        return {
            "buffered": sum(len(buffer) for buffer in self._buffers.values()),
            "parked": len(self._parked),
            "known": len(self._known),
        }
