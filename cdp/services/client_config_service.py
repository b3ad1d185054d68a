"""The Client Config Service: what is set for a client, through a cache that is 2 s old at most.

Batch-first: a whole batch's clients, senders or templates are looked up in one query.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cdp.domain.client import Client, Sender
from cdp.domain.delivery_config import inherited, retry_policy
from cdp.domain.ids import ClientId
from cdp.domain.retry import RetryPolicy
from cdp.domain.template import TemplateVersion
from cdp.ports.clock import Clock
from cdp.storage.clients import Clients, Senders
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.templates import Templates

K = TypeVar("K")
V = TypeVar("V")

FRESH_S: Final = 2.0
ENTRIES_MAX: Final = 10_000


class ReadThrough(Generic[K, V]):
    """A bounded cache of what MongoDB has; an absent thing is remembered as absent, too."""

    def __init__(
        self, load: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, clock: Clock
    ) -> None:
        self._load = load
        self._clock = clock
        self._entries: dict[K, tuple[float, V | None]] = {}
        self._loading: dict[K, asyncio.Future[None]] = {}

    async def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The values of those keys that have one, none older than `FRESH_S`.

        Who asks for what another is just loading waits for that.
        """
        wanted = set(keys)
        while stale := [k for k in wanted if not self._is_fresh(k)]:
            under_way = {self._loading[k] for k in stale if k in self._loading}
            if under_way:
                await asyncio.wait(under_way)
            else:
                await self._refresh(stale)
        return {k: value for k in wanted if (value := self._entries[k][1]) is not None}

    def forget_absent(self, keys: Iterable[K]) -> None:
        """Ask again for those that were not there."""
        for key in keys:
            if key in self._entries and self._entries[key][1] is None:
                del self._entries[key]

    def _is_fresh(self, key: K) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry[0] > self._clock.monotonic()

    async def _refresh(self, keys: Sequence[K]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loading |= dict.fromkeys(keys, done)
        try:
            loaded = await self._load(keys)
            if len(self._entries) + len(keys) > ENTRIES_MAX:
                self._entries = {k: e for k, e in self._entries.items() if self._is_fresh(k)}
            if len(self._entries) + len(keys) > ENTRIES_MAX:
                self._entries.clear()
            until = self._clock.monotonic() + FRESH_S
            self._entries |= {key: (until, loaded.get(key)) for key in keys}
        finally:
            for key in keys:
                del self._loading[key]
            done.set_result(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSetting:
    """A client with its sender, as the Message Service needs them."""

    client: Client
    sender: Sender | None


class ClientConfigService:
    """Answers for a client's configuration."""

    def __init__(
        self,
        *,
        clients: Clients,
        senders: Senders,
        templates: Templates,
        delivery_configs: DeliveryConfigs,
        clock: Clock,
    ) -> None:
        self._templates = templates
        self._delivery_configs = delivery_configs
        self._clients: ReadThrough[ClientId, Client] = ReadThrough(
            clients.across_clients, clock=clock
        )
        self._senders: ReadThrough[ClientId, Sender] = ReadThrough(
            lambda ids: senders.across_clients(ids, "email"), clock=clock
        )
        self._current: ReadThrough[tuple[ClientId, str], TemplateVersion] = ReadThrough(
            self._load_templates, clock=clock
        )
        self._policies: ReadThrough[ClientId, RetryPolicy] = ReadThrough(
            self._load_policies, clock=clock
        )

    async def clients(self, ids: Iterable[ClientId]) -> dict[ClientId, ClientSetting]:
        """Clients with their senders."""
        wanted = set(ids)
        clients = await self._clients.get_many(wanted)
        senders = await self._senders.get_many(wanted)
        return {
            client_id: ClientSetting(client=client, sender=senders.get(client_id))
            for client_id, client in clients.items()
        }

    async def templates(
        self, names: Iterable[tuple[ClientId, str]]
    ) -> dict[tuple[ClientId, str], TemplateVersion]:
        """The current version of each client's template, where there is one."""
        return await self._current.get_many(names)

    async def unknown_templates(
        self, names: Iterable[tuple[ClientId, str]]
    ) -> set[tuple[ClientId, str]]:
        """Those that do not exist, as of now: who saves a template uses it next."""
        wanted = set(names)
        absent = wanted - (await self._current.get_many(wanted)).keys()
        self._current.forget_absent(absent)
        return absent - (await self._current.get_many(absent)).keys()

    async def retry_policies(self, ids: Iterable[ClientId]) -> dict[ClientId, RetryPolicy]:
        """The retry policy of each client."""
        return await self._policies.get_many(ids)

    async def _load_templates(
        self, keys: Sequence[tuple[ClientId, str]]
    ) -> dict[tuple[ClientId, str], TemplateVersion]:
        names: dict[ClientId, list[str]] = {}
        for client_id, name in keys:
            names.setdefault(client_id, []).append(name)
        loaded = {}
        for client_id, wanted in names.items():
            for name, version in (await self._templates.current(client_id, wanted)).items():
                loaded[client_id, name] = version
        return loaded

    async def _load_policies(self, ids: Sequence[ClientId]) -> dict[ClientId, RetryPolicy]:
        return {
            client_id: retry_policy(inherited(await self._delivery_configs.of_client(client_id)))
            for client_id in ids
        }
