"""The providers of one worker: which may take a message, which are open, and how each fares.

A provider is opened when a message first needs it, in the version of its account that counts, and
given up when nothing has needed it for a while. Each has a circuit breaker of its own; what one
can't take now, the next in the message's order may.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cdp.domain.breaker import Breaker
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ResultId
from cdp.domain.rate_budget import RateLimit
from cdp.ports.clock import Clock
from cdp.ports.provider import FailureClass, Outcome, Provider, Rejected, Unknown

log = logging.getLogger(__name__)

IDLE_S: Final = 120.0
"""How long a provider that nothing needs is kept open."""
MANY_HOSTS: Final = "webhook."
PROVIDER_TROUBLE: Final = frozenset({FailureClass.THROTTLED, FailureClass.CONFIG})
UNREACHED: Final = frozenset({"connect_failed", "connect_timeout", "connection_lost", "timeout"})


INSTALLED: Final = "settings:"
"""What the keys of the installation's own accounts begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A provider as somebody has set it up."""

    key: str
    """Names it for ever, whatever is changed."""
    version: int
    """Rises with each change."""
    name: str
    """For people, and for the log of each attempt."""
    kind: str
    """Of `cdp.providers.registry`, such as `sms.twilio`."""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """With its credentials in clear."""
    is_clients: bool = False
    """Whether a client has set it up: then its hosts come from outside (rule A7)."""
    rate_per_s: float | None = None
    """Messages a second that it takes of all clients together."""
    is_readable: bool = True
    """Whether its credentials could be opened. One that is not delivers nothing, and holds its
    place: nothing goes through another's account for the lack of a key."""


@dataclass(slots=True, kw_only=True, eq=False)
class OpenProvider:
    """A provider that messages can be given to."""

    name: str
    provider: Provider[Any]
    breaker: Breaker = field(default_factory=Breaker)
    limit: RateLimit | None = None
    """How fast it may be given messages."""
    platforms: frozenset[str] | None = None
    """Whose devices it reaches; None where that is no question."""
    has_many_hosts: bool = False
    """Whether each message goes to a host of its own: then trouble with one says nothing of the
    others, and there is no breaker."""
    in_use: int = 0
    """Batches that are under way with it."""
    last_used: float = 0.0
    """Monotonic seconds."""

    def takes(self, platform: str | None) -> bool:
        """Whether it reaches devices of this platform."""
        return platform is None or self.platforms is None or platform in self.platforms

    @property
    def is_busy(self) -> bool:
        """Whether messages wait in it until others have been sent, as far as it says so."""
        asked = getattr(self.provider, "is_busy", None)
        return asked is not None and bool(asked())

    def note(self, outcome: Outcome, *, now: float) -> None:
        """Take in what became of one message."""
        if not self.has_many_hosts:
            self.breaker.note(is_trouble(outcome), now=now)


class Providers(Protocol):
    """Where a worker asks who may take its messages."""

    async def routes(self, items: Sequence[WorkItem]) -> list[Sequence[OpenProvider]]:
        """For each item the providers that may take it, in order."""

    def states(self) -> Mapping[str, str]:
        """The state of each open provider's breaker, by its name."""

    async def close(self) -> None:
        """Give up all connections. No message may be under way."""


Routing = Callable[[Sequence[WorkItem]], Awaitable[list[Sequence[Account]]]]
"""The accounts that may take each item, in order."""


class ProviderRoster:
    """`Providers`, opened from their accounts."""

    def __init__(
        self, *, routing: Routing, open_account: Callable[[Account], Provider[Any]], clock: Clock
    ) -> None:
        self._routing = routing
        self._open_account = open_account
        self._clock = clock
        self._open: dict[tuple[str, int], OpenProvider] = {}
        self._unfit: dict[tuple[str, int], float] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def routes(self, items: Sequence[WorkItem]) -> list[Sequence[OpenProvider]]:
        """See `Providers`."""
        accounts = await self._routing(items)
        self._retire()
        return [
            [found for account in each if (found := self._opened(account)) is not None]
            for each in accounts
        ]

    def _opened(self, account: Account) -> OpenProvider | None:
        key = (account.key, account.version)
        now = self._clock.monotonic()
        found = self._open.get(key)
        if found is None:
            if self._unfit.get(key, 0.0) > now:
                return None
            try:
                provider = self._open_account(account)
            except Exception as error:
                # Settings that were fit when they were saved, or a package that is gone. The text
                # may hold a credential: not logged.
                facts = {"provider": account.name, "error": type(error).__name__}
                log.error("a provider could not be opened", extra=facts)
                self._unfit[key] = now + IDLE_S
                return None
            found = self._open[key] = OpenProvider(
                name=account.name,
                provider=provider,
                limit=_limit(account),
                platforms=getattr(provider, "PLATFORMS", None),
                has_many_hosts=account.kind.startswith(MANY_HOSTS),
            )
        found.last_used = now
        return found

    def _retire(self) -> None:
        """Give up what nothing has needed for a while, such as the version before a change."""
        until = self._clock.monotonic() - IDLE_S
        for key, each in list(self._open.items()):
            if not each.in_use and each.last_used < until:
                del self._open[key]
                task = asyncio.create_task(each.provider.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        self._unfit = {key: at for key, at in self._unfit.items() if at > until}

    def states(self) -> Mapping[str, str]:
        """See `Providers`."""
        return {each.name: each.breaker.state for each in self._open.values()}

    async def close(self) -> None:
        """See `Providers`."""
        await asyncio.gather(*(each.provider.close() for each in self._open.values()))
        await asyncio.gather(*self._closing)
        self._open.clear()


class OneProvider:
    """`Providers` with one that takes everything, such as a test's."""

    def __init__(
        self,
        provider: Provider[Any],
        *,
        name: str = "provider",
        breaker: Breaker | None = None,
    ) -> None:
        self._only = OpenProvider(name=name, provider=provider, breaker=breaker or Breaker())

    async def routes(self, items: Sequence[WorkItem]) -> list[Sequence[OpenProvider]]:
        """See `Providers`."""
        return [(self._only,)] * len(items)

    def states(self) -> Mapping[str, str]:
        """See `Providers`."""
        return {self._only.name: self._only.breaker.state}

    async def close(self) -> None:
        """See `Providers`."""
        await self._only.provider.close()


def _limit(account: Account) -> RateLimit | None:
    if account.rate_per_s is None:
        return None
    return RateLimit(f"provider/{account.key}", account.rate_per_s)


def choose(
    items: Sequence[WorkItem], routes: Sequence[Sequence[OpenProvider]], *, now: float
) -> dict[ResultId, OpenProvider]:
    """Who gets each item: the first of its providers that is trusted now.

    One that has just failed an item comes last for it. An item that nobody may get is left out.
    """
    chosen: dict[ResultId, OpenProvider] = {}
    waiting = [
        (item, in_turn(route, item.failed_by)) for item, route in zip(items, routes, strict=True)
    ]
    while waiting:
        asked: dict[int, list[tuple[WorkItem, list[OpenProvider]]]] = defaultdict(list)
        for item, route in waiting:
            if route:
                asked[id(route[0])].append((item, route))
        waiting = []
        for group in asked.values():
            first = group[0][1][0]
            allowed = first.breaker.allows(len(group), now=now)
            chosen |= {item.result_id: first for item, _ in group[:allowed]}
            waiting += [(item, route[1:]) for item, route in group[allowed:]]
    return chosen


def in_turn(route: Sequence[OpenProvider], failed_by: str | None) -> list[OpenProvider]:
    """A route that begins behind the provider which failed, where that is one of it."""
    for index, each in enumerate(route):
        if each.name == failed_by:
            return [*route[index + 1 :], *route[: index + 1]]
    return list(route)


def is_trouble(outcome: Outcome) -> bool:
    """Whether an outcome speaks against the provider, not against the message."""
    if isinstance(outcome, Rejected):
        return outcome.failure in PROVIDER_TROUBLE or outcome.code in UNREACHED
    return isinstance(outcome, Unknown)
