"""Sends many messages through one worker's providers and says what memory that has taken.

As `DeliveryService` does: the roster says who may take each message of a batch and opens them, each
gets its part, and what becomes of a message is noted. Of five messages one goes to one of 200
hosts. `bench_providers` starts it as a process of its own.
Prints: the resident memory in MB after so many messages, as JSON.
"""

import argparse
import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from benchmarks.http_sink import HOSTS, Address
from benchmarks.tools import run
from benchmarks.vendors import Vendor, vendors, webhooks
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Status
from cdp.domain.ids import ClientId, Partition, RequestId, ResultId
from cdp.domain.lane import Priority, lane_of
from cdp.ports.clock import SystemClock
from cdp.ports.provider import Accepted, Message, Outcome, Provider, ProviderTools
from cdp.providers.registry import load
from cdp.services.provider_roster import Account, OpenProvider, ProviderRoster, choose

FEW: Final = 20_000
MANY: Final = 100_000
STEPS: Final = 5
KINDS: Final = ("sms.twilio", "push.fcm", "push.web", "webhook.slack", "webhook.standard")
BATCH: Final = 100
BATCHES_AT_ONCE: Final = 2
CLOCK: Final = SystemClock()
CLIENT: Final = ClientId(bytes(16))


class Worker:
    """What of a worker has to do with providers."""

    def __init__(self, url: str) -> None:
        address = Address(url=url, tls_url=url, certificate=Path())
        self._vendors = [each for each in vendors(address) if each.kind in KINDS]
        self._hooks = [
            webhooks(url.replace(urlsplit(url).hostname or "", host) + "/hook/") for host in HOSTS
        ]
        self._accounts = {each.kind: [_account(each)] for each in self._vendors}
        self._roster = ProviderRoster(routing=self._routing, open_account=_opened, clock=CLOCK)
        self.sent = 0

    async def _routing(self, items: Sequence[WorkItem]) -> list[Sequence[Account]]:
        return [self._accounts[str(item.campaign)] for item in items]

    async def send(self, first: int) -> None:
        """A batch, of all kinds."""
        items, messages = [], dict[ResultId, Message]()
        for number in range(first, first + BATCH):
            vendor = self._vendors[number % len(self._vendors)]
            message = vendor.message(number)
            if vendor.kind == "webhook.standard":
                message = self._hooks[number // len(self._vendors) % len(self._hooks)](number)
            items.append(_item(message, vendor))
            messages[message.result_id] = message
        routes = await self._roster.routes(items)
        chosen = choose(items, routes, now=CLOCK.monotonic())
        assert len(chosen) == len(items), self._roster.states()
        groups: dict[OpenProvider, list[Message]] = defaultdict(list)
        for result_id, provider in chosen.items():
            groups[provider].append(messages[result_id])
        await asyncio.gather(*(self._send_through(p, group) for p, group in groups.items()))

    async def _send_through(self, through: OpenProvider, messages: Sequence[Message]) -> None:
        def report(_: Message, outcome: Outcome) -> None:
            assert isinstance(outcome, Accepted), outcome
            through.note(outcome, now=CLOCK.monotonic())
            self.sent += 1

        await through.provider.deliver(messages, report)

    async def close(self) -> None:
        """Give the connections up."""
        await self._roster.close()


def _account(vendor: Vendor) -> Account:
    return Account(
        key=vendor.kind, version=1, name=vendor.kind, kind=vendor.kind, settings=vendor.settings
    )


def _opened(account: Account) -> Provider[Any]:
    adapter = load(account.kind)
    settings = adapter.Settings.model_validate(dict(account.settings))
    provider: Provider[Any] = adapter.open(settings, ProviderTools(clock=CLOCK, reach_private=True))
    return provider


def _item(message: Message, vendor: Vendor) -> WorkItem:
    channel = vendor.kind.partition(".")[0]
    return WorkItem(
        result_id=message.result_id,
        request_id=RequestId(message.result_id),
        client_id=CLIENT,
        channel=channel,
        # By which the routing above knows it again.
        campaign=vendor.kind,
        partition=Partition(0),
        lane=lane_of(channel, Priority.NORMAL),
        priority=Priority.NORMAL,
        status=Status.QUEUED,
        seq=1,
        due_at=CLOCK.now(),
    )


async def send_many(url: str, few: int, many: int) -> None:
    """Send, and print."""
    worker = Worker(url)
    rss_mb: dict[int, float] = {}
    marks = sorted({few, *(many * step // STEPS for step in range(1, STEPS + 1))})
    begun = 0
    for mark in marks:
        firsts = iter(range(begun, mark, BATCH))

        async def work(firsts: Any = firsts) -> None:
            for first in firsts:
                await worker.send(first)

        await asyncio.gather(*(work() for _ in range(BATCHES_AT_ONCE)))
        assert worker.sent == mark
        begun, rss_mb[mark] = mark, psutil.Process().memory_info().rss / 1e6
    await worker.close()
    print(json.dumps(rss_mb))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("few", type=int)
    parser.add_argument("many", type=int)
    given = parser.parse_args()
    run(send_many(given.url, given.few, given.many))
