"""The Client Config Service: what is set for a client, through a cache that is 2 s old at most.

Batch-first: a whole batch's clients, senders or templates are looked up in one query.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from cdp.domain.campaign import Campaign, CampaignKey
from cdp.domain.client import Client
from cdp.domain.communication_request import CommunicationRequest
from cdp.domain.delivery_config import ConfigLevels, ConfigLimits, ConfigScope, DeliveryConfig
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId, ResultId
from cdp.domain.retry import RetryPolicy
from cdp.domain.segment import AssignmentKey, assigned
from cdp.domain.sender import Sender, SendersOfClient
from cdp.domain.template import TemplateVersion
from cdp.ports.clock import Clock
from cdp.storage.campaigns import Campaigns
from cdp.storage.clients import Clients
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.segments import SegmentAssignments
from cdp.storage.senders import Senders
from cdp.storage.templates import Templates

K = TypeVar("K")
V = TypeVar("V")

SenderKey = tuple[ClientId, ConfigScope]
"""A client, and a scope that names a channel."""

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

    def forget(self, keys: Iterable[K]) -> None:
        """Ask again for these."""
        for key in keys:
            self._entries.pop(key, None)

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


class ClientConfigService:
    """Answers for a client's configuration."""

    def __init__(
        self,
        *,
        clients: Clients,
        senders: Senders,
        templates: Templates,
        delivery_configs: DeliveryConfigs,
        assignments: SegmentAssignments,
        campaigns: Campaigns,
        clock: Clock,
    ) -> None:
        self._templates = templates
        self._assignments = assignments
        self._delivery_configs = delivery_configs
        self._clients: ReadThrough[ClientId, Client] = ReadThrough(
            clients.across_clients, clock=clock
        )
        self._stored_senders = senders
        self._senders: ReadThrough[ClientId, SendersOfClient] = ReadThrough(
            self._load_senders, clock=clock
        )
        self._current: ReadThrough[tuple[ClientId, str], TemplateVersion] = ReadThrough(
            self._load_templates, clock=clock
        )
        self._assigned: ReadThrough[AssignmentKey, str] = ReadThrough(
            self._load_assigned, clock=clock
        )
        self._campaigns: ReadThrough[CampaignKey, Campaign] = ReadThrough(
            campaigns.named_across_clients, clock=clock
        )
        self._levels: ReadThrough[ClientId, ConfigLevels] = ReadThrough(
            self._load_levels, clock=clock
        )

    async def clients(self, ids: Iterable[ClientId]) -> dict[ClientId, Client]:
        """Clients by their ids."""
        return await self._clients.get_many(ids)

    async def senders(self, keys: Iterable[SenderKey]) -> dict[SenderKey, Sender]:
        """Who a client's communications of a scope come from, where there is anybody.

        It is the sender that the narrowest delivery configuration names, else the default of the
        channel.
        """
        wanted = set(keys)
        clients = {client_id for client_id, _ in wanted}
        senders = await self._senders.get_many(clients)
        levels = await self._levels.get_many(clients)
        found: dict[SenderKey, Sender] = {}
        for client_id, scope in wanted:
            assert scope.channel is not None
            named = levels[client_id].config(scope).sender
            sender = senders[client_id].choose(scope.channel, named)
            if sender is not None:
                found[client_id, scope] = sender
        return found

    async def senders_now(self, keys: Iterable[SenderKey]) -> dict[SenderKey, Sender]:
        """The same as of now: for who is about to refuse for want of a sender."""
        wanted = set(keys)
        clients = {client_id for client_id, _ in wanted}
        self._senders.forget(clients)
        self._levels.forget(clients)
        return await self.senders(wanted)

    async def templates(
        self, names: Iterable[tuple[ClientId, str]]
    ) -> dict[tuple[ClientId, str], TemplateVersion]:
        """The current version of each client's template, where there is one."""
        return await self._current.get_many(names)

    async def templates_now(
        self, names: Iterable[tuple[ClientId, str]]
    ) -> dict[tuple[ClientId, str], TemplateVersion]:
        """The same as of now: for who is about to refuse by a version that may have gone."""
        wanted = set(names)
        self._current.forget(wanted)
        return await self._current.get_many(wanted)

    async def unknown_templates(
        self, names: Iterable[tuple[ClientId, str]]
    ) -> set[tuple[ClientId, str]]:
        """Those that do not exist, as of now."""
        return await _absent(self._current, names)

    async def campaigns(self, keys: Iterable[CampaignKey]) -> dict[CampaignKey, Campaign]:
        """The campaigns of these names; the others are mere names."""
        return await self._campaigns.get_many(keys)

    async def assigned_templates(self, keys: Iterable[AssignmentKey]) -> dict[AssignmentKey, str]:
        """The template that each segment gets, where one is assigned."""
        return await self._assigned.get_many(keys)

    async def unassigned(self, keys: Iterable[AssignmentKey]) -> set[AssignmentKey]:
        """Those that get no template, as of now."""
        return await _absent(self._assigned, keys)

    async def retry_policies(self, items: Iterable[WorkItem]) -> dict[ResultId, RetryPolicy]:
        """The retry policy of each item: by its client, channel, campaign and segment."""
        wanted = list(items)
        levels = await self._levels.get_many({item.client_id for item in wanted})
        return {
            item.result_id: levels[item.client_id].retry_policy(scope_of(item)) for item in wanted
        }

    async def delivery_configs(self, items: Iterable[WorkItem]) -> dict[ResultId, DeliveryConfig]:
        """What counts for each item."""
        wanted = list(items)
        levels = await self._levels.get_many({item.client_id for item in wanted})
        return {item.result_id: levels[item.client_id].config(scope_of(item)) for item in wanted}

    async def delivery_configs_of(
        self, keys: Iterable[tuple[ClientId, ConfigScope]]
    ) -> dict[tuple[ClientId, ConfigScope], DeliveryConfig]:
        """What counts for communications of these clients and scopes."""
        wanted = set(keys)
        levels = await self._levels.get_many({client_id for client_id, _ in wanted})
        return {(c, scope): levels[c].config(scope) for c, scope in wanted}

    async def rate_limits(self, items: Iterable[WorkItem]) -> dict[ResultId, ConfigLimits]:
        """How fast each item may go, as its delivery configuration says."""
        wanted = list(items)
        levels = await self._levels.get_many({item.client_id for item in wanted})
        return {
            item.result_id: levels[item.client_id].limits(item.client_id, scope_of(item))
            for item in wanted
        }

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

    async def _load_assigned(self, keys: Sequence[AssignmentKey]) -> dict[AssignmentKey, str]:
        stored = await self._assignments.that_may_count(keys)
        found = {key: assigned(stored, key) for key in keys}
        return {key: each.template for key, each in found.items() if each is not None}

    async def _load_senders(self, ids: Sequence[ClientId]) -> dict[ClientId, SendersOfClient]:
        stored = await self._stored_senders.across_clients(ids)
        return {client_id: SendersOfClient(senders) for client_id, senders in stored.items()}

    async def _load_levels(self, ids: Sequence[ClientId]) -> dict[ClientId, ConfigLevels]:
        platform, by_client = await self._delivery_configs.of_clients(ids)
        return {
            client_id: ConfigLevels([*platform, *levels]) for client_id, levels in by_client.items()
        }


async def _absent(cache: ReadThrough[K, Any], keys: Iterable[K]) -> set[K]:
    """Those that are not there, asked for once more: who has made a thing uses it next."""
    wanted = set(keys)
    absent = wanted - (await cache.get_many(wanted)).keys()
    cache.forget_absent(absent)
    return absent - (await cache.get_many(absent)).keys()


def scope_of(item: WorkItem | CommunicationRequest) -> ConfigScope:
    """What of a communication decides on its delivery configuration."""
    return ConfigScope(channel=item.channel, campaign=item.campaign, segment=item.segment)
