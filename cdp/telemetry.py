"""Every metric, and how one scrape sees the whole platform.

Each process counts with prometheus-client in a registry of its own and sends a snapshot of
cumulative values with its heartbeat. `Merged` keeps the newest of each incarnation and adds
them up; an incarnation that died keeps what it had counted, so that no counter ever falls.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "cdp_http_requests": ("Requests to the API.", ("route", "status")),
    "cdp_accepted": ("Results that were accepted.", ("channel",)),
    "cdp_rejected": ("Requests that were refused as invalid.", ("code",)),
    "cdp_events": ("Events that were recorded.", ("event",)),
    "cdp_overtaken": ("Events that another writer had recorded first.", ("event",)),
    "cdp_render_refusals": ("Communications without content, by reason.", ("reason",)),
    "cdp_failures": ("Attempts that failed, by class.", ("reason",)),
    "cdp_rate_limited": ("Messages that were told to wait for their rate.", ()),
    "cdp_hints": ("Items that shards were told of, by what they did.", ("taken",)),
    "cdp_engagements": ("Opens, clicks and opt-outs that were seen, machines' too.", ("event",)),
    "cdp_loop_errors": ("Errors that a loop survived.", ("loop",)),
    "cdp_sftp_logins": ("Connections to the SFTP gateway, by what became of them.", ("outcome",)),
    "cdp_sftp_uploads": ("Files that came by SFTP: taken or refused.", ("outcome",)),
    "cdp_files_swept": ("Stored objects that no file was ever made of, deleted.", ()),
    "cdp_file_rows_lost": ("Fetched files that lack rows, by what is gone.", ("of",)),
    "cdp_leases_lost": ("Partitions that a shard lost.", ()),
    "cdp_file_arrivals": (
        "Objects that others put into object storage, each time they were looked at.",
        ("outcome",),
    ),
    "cdp_notifications": ("Notifications of objects from a queue, by what they were.", ("taken",)),
}
GAUGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "cdp_buffered": ("Items in the memory of a shard.", ("kind",)),
    "cdp_backlog": ("Unfinished results.", ()),
    "cdp_oldest_due_seconds": ("How long the oldest due item of a lane waits.", ("lane",)),
    "cdp_scheduled_soon": ("Items in the Scheduler's window.", ()),
    "cdp_actors": ("Actors that run, by kind.", ("kind",)),
    "cdp_inbox_listeners": ("Streams of inboxes that are open.", ()),
    "cdp_budgets": ("Budgets of limited rates that are in use.", ()),
    "cdp_breakers_open": ("Breakers of providers that are not closed, over all workers.", ()),
}
HISTOGRAMS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "cdp_http_seconds": ("Time to answer a request.", ("route",)),
    "cdp_queue_seconds": (
        "From acceptance to the first attempt, if unscheduled.",
        ("lane",),
    ),
    "cdp_delivery_seconds": ("From acceptance to delivery, if unscheduled.", ("lane",)),
    "cdp_schedule_lag_seconds": ("From `send_at` to the attempt.", ()),
}

Sample = tuple[str, tuple[tuple[str, str], ...], float]
"""A sample's name, its labels and its value."""


class Telemetry:
    """The metrics of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self._counters = {
            n: Counter(n, d, ls, registry=registry) for n, (d, ls) in COUNTERS.items()
        }
        self._gauges = {n: Gauge(n, d, ls, registry=registry) for n, (d, ls) in GAUGES.items()}
        self._histograms = {
            n: Histogram(n, d, ls, registry=registry, buckets=SECONDS)
            for n, (d, ls) in HISTOGRAMS.items()
        }
        # To look a labelled metric up takes ten times as long as to add to it; there are few.
        self._labelled: dict[tuple[Any, ...], Any] = {}

    def _of(self, metrics: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> Any:
        key = (name, *labels.items())
        metric = self._labelled.get(key)
        if metric is None:
            metric = metrics[name].labels(**labels) if labels else metrics[name]
            self._labelled[key] = metric
        return metric

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        self._of(self._counters, name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._of(self._gauges, name, labels).set(value)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Note a duration."""
        self._of(self._histograms, name, labels).observe(seconds)

    def snapshot(self) -> list[Sample]:
        """All values so far, small enough to travel with a heartbeat."""
        return [
            (sample.name, tuple(sorted(sample.labels.items())), sample.value)
            for family in self._registry.collect()
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]


class Merged:
    """The snapshots of all processes, added up."""

    def __init__(self) -> None:
        self._living: dict[str, list[Sample]] = {}
        self._buried: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def take(self, incarnation: str, samples: list[Sample]) -> None:
        """Note the newest snapshot of one process."""
        self._living[incarnation] = samples

    def bury(self, incarnation: str) -> None:
        """Keep what a dead process had counted; its gauges go with it."""
        for name, labels, value in self._living.pop(incarnation, []):
            if _family_of(name) not in GAUGES:
                self._buried[name, labels] = self._buried.get((name, labels), 0.0) + value

    def totals(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """The sum of every sample."""
        sums = dict(self._buried)
        for samples in self._living.values():
            for name, labels, value in samples:
                sums[name, labels] = sums.get((name, labels), 0.0) + value
        return sums

    def collect(self) -> Iterable[Metric]:
        """For prometheus-client: the totals as metric families."""
        families: dict[str, Metric] = {}
        for (name, labels), value in sorted(self.totals().items()):
            base = _family_of(name)
            family = families.get(base)
            if family is None:
                family = families[base] = _family(base)
            family.add_sample(name, dict(labels), value)
        return families.values()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)


def _family_of(sample: str) -> str:
    for suffix in ("_total", "_bucket", "_count", "_sum"):
        base = sample.removesuffix(suffix)
        if base != sample and (base in COUNTERS or base in HISTOGRAMS):
            return base
    return sample


def _family(name: str) -> Metric:
    if name in COUNTERS:
        return CounterMetricFamily(name, COUNTERS[name][0])
    if name in HISTOGRAMS:
        return HistogramMetricFamily(name, HISTOGRAMS[name][0])
    return GaugeMetricFamily(name, GAUGES[name][0])
