"""Which providers may take a message, in which order.

The delivery configuration names them by client, channel, campaign and segment; a name is the
client's own provider, else the platform's. Where nothing is named it is the client's own providers
of the channel, by name; where it has none, the platform's; and where that has none either, what
the settings of the installation say.
"""

from collections.abc import Iterable, Mapping, Sequence

from cdp.domain.delivery_config import ConfigScope
from cdp.domain.delivery_result import WorkItem
from cdp.domain.ids import ClientId
from cdp.domain.lane import CHANNEL_NAMES
from cdp.ports.clock import Clock
from cdp.services.client_config_service import ClientConfigService, ReadThrough
from cdp.services.provider_roster import Account
from cdp.services.provider_service import ProviderService

Owned = Mapping[ClientId | None, Sequence[Account]]


class ProviderRouting:
    """Routes messages by configurations and accounts that are 2 s old at most."""

    def __init__(
        self,
        *,
        config: ClientConfigService,
        providers: ProviderService,
        defaults: Mapping[str, Sequence[Account]],
        clock: Clock,
    ) -> None:
        """`defaults` are the installation's own, by channel."""
        assert set(defaults) <= set(CHANNEL_NAMES)
        self._config = config
        self._providers = providers
        self._defaults = defaults
        self._accounts: ReadThrough[ClientId, Owned] = ReadThrough(self._load, clock=clock)

    async def _load(self, client_ids: Sequence[ClientId]) -> dict[ClientId, Owned]:
        found = await self._providers.accounts_across_clients(client_ids)
        platform = found.get(None, [])
        return {c: {None: platform, c: found.get(c, [])} for c in client_ids}

    async def __call__(self, items: Sequence[WorkItem]) -> list[Sequence[Account]]:
        """The accounts that may take each item, in order; none where a configuration names none
        that is there."""
        owned = await self._accounts.get_many({item.client_id for item in items})
        configs = await self._config.delivery_configs(items)
        return [
            self._route(
                item.client_id,
                item.channel,
                owned[item.client_id],
                configs[item.result_id].providers,
            )
            for item in items
        ]

    async def of_scope(self, client_id: ClientId, scope: ConfigScope) -> Sequence[Account]:
        """The accounts that may take a client's communications of a scope with a channel."""
        assert scope.channel is not None
        owned = await self._accounts.get_many([client_id])
        configs = await self._config.delivery_configs_of([(client_id, scope)])
        names = configs[client_id, scope].providers
        return self._route(client_id, scope.channel, owned[client_id], names)

    def _route(
        self, client_id: ClientId, channel: str, owned: Owned, names: Sequence[str] | None
    ) -> Sequence[Account]:
        own = _of_channel(owned.get(client_id, ()), channel)
        platform = _of_channel(owned.get(None, ()), channel)
        if names is None:
            return own or platform or self._defaults.get(channel, ())
        by_name = {account.name: account for account in (*platform, *own)}
        return [by_name[name] for name in names if name in by_name]


def _of_channel(accounts: Iterable[Account], channel: str) -> list[Account]:
    return [account for account in accounts if account.kind.partition(".")[0] == channel]
