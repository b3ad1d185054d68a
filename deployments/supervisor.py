"""Supervisor: the actor that keeps all others alive and sized, and knows how they are.

It holds nothing that matters: killed and restarted it finds the actors by their names and hears
of their state within a second.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import ray

from cdp.domain.ids import ClientId
from cdp.domain.lane import CHANNEL_NAMES, LANES, channel_of, lanes_of
from cdp.domain.scaling import Load, ScaleBounds, needed, shared_out, target
from cdp.ports.handoff import WorkerLost
from cdp.ports.object_store import StoreUnavailable
from cdp.services.campaign_acknowledgement import UNKNOWN, WITHIN_S, is_acknowledged
from cdp.telemetry import Merged
from deployments.component import Component
from deployments.delivery_pool import DeliveryPool
from deployments.file_ingestion import FileIngestion
from deployments.handles import (
    SCHEDULER,
    SFTP_GATEWAY,
    ask,
    find,
    ingestion_name,
    pool_name,
    shard_name,
    start,
    tell,
    worker_prefix,
)
from deployments.queue_shard import QueueShard
from deployments.scheduler import Scheduler
from deployments.sftp_gateway import SftpGateway

log = logging.getLogger(__name__)

KEEP_S: Final = 1.0
FILES_S: Final = 1.0
LEFTOVERS_S: Final = 3_600.0
ARRIVALS_WAIT_S: Final = 20.0
ARRIVALS_RETRY_S: Final = 10.0
OVERDUE_S: Final = 30.0
SILENT_S: Final = 5.0
"""After this without a heartbeat a component counts as down."""
BURIED_S: Final = 30.0
RATE_OVER_S: Final = 10.0
FIRST_RATE_PER_S: Final = 200.0
"""What a worker is thought to deliver until it has shown better."""
BEST_FADES: Final = 0.999
ALWAYS: Final = frozenset(lanes_of("email"))
"""Lanes that always have a worker; the others begin with none."""
WARM_S: Final = 300.0
"""How long a lane that was wanted keeps a worker."""


class Supervisor:
    """Assigns, restarts, sizes and reports."""

    def __init__(self) -> None:
        self._component = Component("supervisor", "supervisor")
        settings = self._component.wiring.settings
        self._assigner = self._component.wiring.partition_assigner()
        self._merged = Merged()
        self._began = time.monotonic()
        self._reports: dict[str, dict[str, Any]] = {}
        self._rates = _Rates()
        self._best_rates = dict.fromkeys(CHANNEL_NAMES, FIRST_RATE_PER_S)
        self._shards = settings.shards_min
        self._workers = {lane: settings.workers_min if lane in ALWAYS else 0 for lane in LANES}
        self._wanted_at = dict.fromkeys(LANES, float("-inf"))
        self._calm_since: dict[str, float] = {}
        self._files_seen_at = float("-inf")
        self._shard_bounds = ScaleBounds(
            least=settings.shards_min, most=settings.shards_max, drain_s=settings.drain_s
        )
        self._campaigns = self._component.wiring.campaigns.keeper
        self._component.loop("keep", self._keep)
        self._component.loop("campaigns", self._keep_campaigns)
        self._turns = self._component.wiring.file_turns()
        self._sweep = self._component.wiring.file_sweep()
        self._logins = self._component.wiring.sftp_accounts()
        self._arrivals = self._component.wiring.file_arrivals_service()
        self._component.loop("files", self._keep_files)
        self._component.loop("arrivals", self._note_arrivals)
        self._component.loop("overdue", self._end_overdue)
        self._component.loop("leftovers", self._clear_leftovers)
        self._component.heartbeat(dict)

    async def heartbeat(self, report: dict[str, Any]) -> None:
        """A component tells how it is."""
        known = self._reports.get(report["name"])
        if known is not None and known["incarnation"] != report["incarnation"]:
            self._merged.bury(known["incarnation"])
        self._merged.take(report["incarnation"], report.pop("samples"))
        self._reports[report["name"]] = report | {"heard": time.monotonic()}
        if "delivered" in report:
            self._rates.note(report["name"], report["delivered"])

    async def _keep(self) -> float:
        self._forget_the_dead()
        self._resize()
        names = [shard_name(index) for index in range(self._shards)]
        for name in names:
            if find(name) is None:
                start(QueueShard, name, name)
        if find(SCHEDULER) is None:
            start(Scheduler, SCHEDULER, SCHEDULER)
        for channel in CHANNEL_NAMES:
            self._keep_pool(channel)
        await self._assigner.assign(names)
        self._let_go_of_shards()
        self._count_actors()
        return KEEP_S

    async def _keep_files(self) -> float:
        """What takes and works on files is there where there are accounts, and files."""
        now = time.monotonic()
        most = self._component.wiring.settings.ingestions_max
        self._end_if(SFTP_GATEWAY, lambda report: bool(report.get("ended")))
        if find(SFTP_GATEWAY) is None and await self._logins.any_across_clients():
            # Who has no account for it has no process for it.
            start(SftpGateway, SFTP_GATEWAY, SFTP_GATEWAY)
        waiting = await self._turns.count_across_clients(limit=most)
        names = [ingestion_name(index) for index in range(most)]
        if waiting:
            self._files_seen_at = now
        # Those that are busy are no help to a file that waits.
        busy = sum(1 for name in names if self._reports.get(name, {}).get("busy"))
        for name in names[: waiting + busy]:
            if find(name) is None:
                start(FileIngestion, name, name)
        if now - self._files_seen_at > WARM_S:
            for name in names:
                # Between two looks it may take a file; that waits for a lease, and nothing else.
                self._end_if(name, lambda report: not report["busy"])
        return FILES_S

    async def _note_arrivals(self) -> float:
        """What others put into object storage becomes files; the wait for it is the pause."""
        try:
            await self._arrivals.step(wait_s=ARRIVALS_WAIT_S)
        except StoreUnavailable as error:
            log.warning("nobody tells of new files", extra={"error": type(error).__name__})
            return ARRIVALS_RETRY_S
        return 0.0

    async def _end_overdue(self) -> float:
        await self._arrivals.end_overdue()
        return OVERDUE_S

    async def _clear_leftovers(self) -> float:
        """Take away what killed uploads have left in object storage, and note what was missed."""
        await self._component.wiring.object_store.remove_leftovers()
        await self._sweep.run()
        await self._arrivals.sweep()
        return LEFTOVERS_S

    def _end_if(self, name: str, is_over: Callable[[dict[str, Any]], bool]) -> None:
        actor, report = find(name), self._reports.get(name)
        if actor is not None and report is not None and is_over(report):
            ray.kill(actor)
            self._merged.bury(report["incarnation"])
            del self._reports[name]

    async def _keep_campaigns(self) -> float:
        await self._campaigns.step()
        return KEEP_S

    async def campaigns_applied(self, epoch: int) -> bool:
        """Whether every shard and worker knows of this change of a campaign."""
        if time.monotonic() - self._began < SILENT_S:
            # Not everybody may have been heard of yet.
            return False
        return await is_acknowledged(epoch, list(self._reports.values()), _apply_campaigns)

    def _keep_pool(self, channel: str) -> None:
        """A pool is there once its channel has had work; it is told how many are wanted."""
        pool = pool_name(channel)
        wanted = {lane: self._workers[lane] for lane in lanes_of(channel)}
        if find(pool) is None:
            if not any(wanted.values()):
                return
            start(DeliveryPool, pool, pool, channel)
        tell(pool, "resize", wanted)

    async def want(self, lane: str) -> None:
        """A shard has something for this lane, and found no worker."""
        self._wanted_at[lane] = time.monotonic()

    def _resize(self) -> None:
        """Choose how many shards and workers there are to be, from backlog and rate."""
        shards = [r for r in self._reports.values() if r["kind"] == "queue-shard"]
        backlog = sum(r["due"] for r in shards)
        demand: Counter[str] = Counter()
        for report in shards:
            demand.update(report["demand"])
        # A worker that has little to do shows a low rate; what counts is what it can do.
        for channel, best in self._best_rates.items():
            self._best_rates[channel] = max(self._rates.per_worker(channel), best * BEST_FADES)
        rate = max(self._best_rates.values())
        self._shards = self._sized("shards", self._shards, backlog, rate, self._shard_bounds)
        for lane, waiting in shared_out(backlog, demand).items():
            self._workers[lane] = self._sized(
                lane,
                self._workers[lane],
                waiting,
                self._best_rates[channel_of(lane)],
                self._bounds_of(lane, demand[lane]),
            )

    def _bounds_of(self, lane: str, demand: int) -> ScaleBounds:
        settings, now = self._component.wiring.settings, time.monotonic()
        if demand:
            self._wanted_at[lane] = now
        warm = 1 if now - self._wanted_at[lane] < WARM_S else 0
        return ScaleBounds(
            least=settings.workers_min if lane in ALWAYS else warm,
            most=settings.workers_max,
            drain_s=settings.drain_s,
        )

    def _sized(
        self, what: str, running: int, backlog: int, rate: float, bounds: ScaleBounds
    ) -> int:
        now = time.monotonic()
        load = Load(running=running, backlog=max(0, backlog), rate_each_per_s=rate)
        if needed(load, bounds) >= running:
            self._calm_since.pop(what, None)
            calm_s = 0.0
        else:
            calm_s = now - self._calm_since.setdefault(what, now)
        sized = target(
            Load(running=running, backlog=load.backlog, rate_each_per_s=rate, calm_s=calm_s),
            bounds,
        )
        if sized < running:
            self._calm_since[what] = now
        return sized

    def _let_go_of_shards(self) -> None:
        """A shard that is no longer assigned anything gives back, then ends."""
        surplus = shard_name(self._shards)
        shard = find(surplus)
        if shard is None:
            return
        report = self._reports.get(surplus)
        if report is not None and report["partitions"] == 0:
            ray.kill(shard)
            self._reports.pop(surplus, None)
            self._merged.bury(report["incarnation"])

    def _forget_the_dead(self) -> None:
        now = time.monotonic()
        for name, report in list(self._reports.items()):
            if now - report["heard"] > BURIED_S:
                self._merged.bury(report["incarnation"])
                del self._reports[name]
                self._rates.forget(name)

    def _count_actors(self) -> None:
        counts = Counter(report["kind"] for report in self._reports.values())
        for kind, count in counts.items():
            self._component.wiring.telemetry.set("cdp_actors", count, kind=kind)

    async def backlog(self) -> tuple[int, dict[ClientId, int]]:
        """Unfinished results in all and by client, as the shards count them."""
        by_client: Counter[ClientId] = Counter()
        for report in self._reports.values():
            by_client.update(report.get("backlog", {}))
        return sum(by_client.values()), dict(by_client)

    async def metrics(self) -> bytes:
        """The whole platform's metrics in Prometheus' text format."""
        return self._merged.text()

    async def status(self) -> dict[str, Any]:
        """How the platform is, for `cdp status`."""
        now = time.monotonic()
        backlog, by_client = await self.backlog()
        components = [
            {key: value for key, value in report.items() if key not in ("heard", "backlog")}
            | {"silent_s": now - report["heard"], "up": now - report["heard"] < SILENT_S}
            for report in self._reports.values()
        ]
        oldest = {
            lane: max((r.get("oldest_s", {}).get(lane, 0.0) for r in components), default=0.0)
            for lane in LANES
            if lane in ALWAYS or self._workers[lane]
        }
        return {
            "components": sorted(components, key=lambda report: str(report["name"])),
            "backlog": backlog,
            "clients_with_backlog": len(by_client),
            "oldest_s": oldest,
            "delivered_per_s": self._rates.total(),
            "workers": {lane: count for lane, count in self._workers.items() if count},
            "shards": self._shards,
        }

    async def ping(self) -> str:
        """A sign of life."""
        return self._component.wiring.incarnation


async def _apply_campaigns(name: str) -> int | None:
    """See `cdp.services.campaign_acknowledgement.Ask`. Of who does not answer nothing is known."""
    if find(name) is None:
        return None
    try:
        applied: int = await ask(name, "apply_campaigns", within_s=WITHIN_S)
    except WorkerLost:
        return UNKNOWN
    return applied


class _Rates:
    """Deliveries a second over the last seconds, by worker, from their counters."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[float, int]]] = {}

    def note(self, worker: str, delivered: int) -> None:
        now = time.monotonic()
        seen = self._seen.setdefault(worker, [])
        if seen and delivered < seen[-1][1]:
            seen.clear()
        seen.append((now, delivered))
        while seen[0][0] < now - RATE_OVER_S:
            seen.pop(0)

    def forget(self, worker: str) -> None:
        self._seen.pop(worker, None)

    def total(self) -> float:
        return sum(_rate(seen) for seen in self._seen.values())

    def per_worker(self, channel: str) -> float:
        names = worker_prefix(channel)
        rates = (_rate(seen) for name, seen in self._seen.items() if name.startswith(names))
        return max(rates, default=0.0)


def _rate(seen: list[tuple[float, int]]) -> float:
    (start, before), (end, after) = seen[0], seen[-1]
    return (after - before) / (end - start) if end > start else 0.0
