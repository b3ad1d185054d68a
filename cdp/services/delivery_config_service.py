"""Delivery configurations of one owner: made, read, changed and taken away, and explained."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdp.domain.delivery_config import (
    FIELDS,
    LEVELS_MAX,
    ConfigLevel,
    ConfigLevels,
    ConfigScope,
    DeliveryConfig,
    effective,
)
from cdp.domain.ids import ClientId, fresh_id, text_of
from cdp.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed
from cdp.ports.clock import Clock
from cdp.storage.delivery_configs import DeliveryConfigs, Owner
from cdp.storage.providers import ProviderAccounts
from cdp.storage.senders import Senders


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedField:
    """A field with the value that counts, and the level that says so; None is the default."""

    name: str
    value: Any
    level: ConfigLevel | None


class DeliveryConfigService:
    """Levels of the platform or of a client. What is stored is in force everywhere within 2 s."""

    def __init__(
        self,
        *,
        configs: DeliveryConfigs,
        senders: Senders,
        providers: ProviderAccounts,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._configs = configs
        self._senders = senders
        self._providers = providers
        self._clock = clock
        self._random_bytes = random_bytes

    async def create(self, owner: Owner, scope: ConfigScope, config: DeliveryConfig) -> ConfigLevel:
        """Add a level.

        Raises:
            Invalid: a field is out of its bounds, or names a sender or provider that there is not.
            Conflict: there is one of this scope, or there are too many.
        """
        _require_valid(config)
        await self._require_named(owner, scope, config)
        if await self._configs.count(owner) >= LEVELS_MAX:
            raise Conflict(f"There are at most {LEVELS_MAX:,} delivery configurations.")
        now = self._clock.now()
        level = ConfigLevel(
            id=fresh_id(now, self._random_bytes),
            client_id=owner,
            scope=scope,
            config=config,
            version=1,
            created_at=now,
            updated_at=now,
        )
        if not await self._configs.insert(level):
            stored = await self._configs.at(owner, scope)
            which = "" if stored is None else f": {text_of(stored.id)}"
            raise Conflict(f"There is a delivery configuration for this already{which}.")
        try:
            # What is named may have been taken away since, by one who saw nothing that names it.
            await self._require_named(owner, scope, config)
        except Invalid:
            await self._configs.delete(owner, level.id, seen=level.version)
            raise
        return level

    async def get(self, owner: Owner, level_id: bytes) -> ConfigLevel:
        """One level.

        Raises:
            NotFound: there is none.
        """
        level = await self._configs.find(owner, level_id)
        if level is None:
            raise NotFound
        return level

    async def page(
        self, owner: Owner, *, named: ConfigScope, after: bytes | None, limit: int
    ) -> list[ConfigLevel]:
        """Levels in the order in which they were made; only those that name what `named` does."""
        return await self._configs.page(owner, named=named, after=after, limit=limit)

    async def replace(
        self, owner: Owner, level_id: bytes, config: DeliveryConfig, *, seen: Container[int] | None
    ) -> ConfigLevel:
        """Let a level say this and nothing else.

        Args:
            owner: whose.
            level_id: which.
            config: what it says from now on.
            seen: versions that the caller knows; None changes any.

        Raises:
            Invalid: a field is out of its bounds, or names a sender or provider that there is not.
            NotFound: there is no such level.
            PreconditionFailed: its version is another.
        """
        _require_valid(config)
        while True:
            level = await self._seen(owner, level_id, seen)
            await self._require_named(owner, level.scope, config)
            changed = await self._configs.replace(
                owner, level_id, config, seen=level.version, at=self._clock.now()
            )
            # Else somebody was quicker, and their version may be one that will do.
            if changed is not None:
                break
        try:
            await self._require_named(owner, level.scope, config)
        except Invalid:
            now = self._clock.now()
            await self._configs.replace(owner, level_id, level.config, seen=changed.version, at=now)
            raise
        return changed

    async def delete(self, owner: Owner, level_id: bytes, *, seen: Container[int] | None) -> None:
        """Take a level away; what it said is inherited again.

        Raises:
            NotFound: there is no such level.
            PreconditionFailed: its version is another.
        """
        while not await self._configs.delete(
            owner, level_id, seen=(await self._seen(owner, level_id, seen)).version
        ):
            continue

    async def delete_at(self, owner: Owner, scope: ConfigScope) -> None:
        """Take the level of exactly this scope away.

        Raises:
            NotFound: there is none.
            PreconditionFailed: somebody else changed it at the same time.
        """
        level = await self._configs.at(owner, scope)
        if level is None:
            raise NotFound("Nothing is configured for exactly this.")
        await self.delete(owner, level.id, seen=(level.version,))

    async def _seen(
        self, owner: Owner, level_id: bytes, seen: Container[int] | None
    ) -> ConfigLevel:
        level = await self.get(owner, level_id)
        if seen is not None and level.version not in seen:
            raise PreconditionFailed
        return level

    async def _require_named(
        self, owner: Owner, scope: ConfigScope, config: DeliveryConfig
    ) -> None:
        """What is named must be there, and be for the channel that the level names."""
        await self._require_sender(owner, scope, config)
        await self._require_providers(owner, scope, config.providers or ())

    async def _require_sender(
        self, owner: Owner, scope: ConfigScope, config: DeliveryConfig
    ) -> None:
        if config.sender is None:
            return
        if owner is None:
            raise Invalid.at("/sender", "no_client", "Only a client has senders.")
        sender = await self._senders.find(owner, config.sender)
        if sender is None:
            raise Invalid.at("/sender", "unknown", f"There is no sender named {config.sender}.")
        if scope.channel != sender.channel:
            raise Invalid.at(
                "/sender",
                "other_channel",
                f"This sender needs a configuration for the channel {sender.channel}.",
            )

    async def _require_providers(
        self, owner: Owner, scope: ConfigScope, names: Sequence[str]
    ) -> None:
        if not names:
            return
        found = await self._providers.across_clients([] if owner is None else [owner])
        known = {account.name for account in found}
        fit = {account.name for account in found if account.channel == scope.channel}
        faults = [
            FieldError(
                pointer=f"/providers/{at}",
                code="other_channel" if name in known else "unknown",
                detail=f"This provider needs a configuration for its channel: {name}."
                if name in known
                else f"There is no provider named {name}.",
            )
            for at, name in enumerate(names)
            if name not in fit
        ]
        if faults:
            raise Invalid(faults)

    async def set(self, owner: Owner, scope: ConfigScope, config: DeliveryConfig) -> ConfigLevel:
        """Let the level of this scope say these fields as well; it is made if there is none.

        Raises:
            Invalid: a field is out of its bounds, or names a sender or provider that there is not.
            PreconditionFailed: somebody else changed it at the same time.
        """
        level = await self._configs.at(owner, scope)
        if level is None:
            return await self.create(owner, scope, config)
        merged = replace(level.config, **config.said())
        return await self.replace(owner, level.id, merged, seen=(level.version,))

    async def explain(self, client_id: ClientId, scope: ConfigScope) -> list[ExplainedField]:
        """What counts for a client's communications of this scope, and which level says so."""
        platform, by_client = await self._configs.of_clients([client_id])
        resolved = ConfigLevels([*platform, *by_client[client_id]]).resolve(scope)
        values = effective(resolved.config, scope.channel)
        return [
            ExplainedField(name=name, value=values[name], level=resolved.origins.get(name))
            for name in FIELDS
        ]


def _require_valid(config: DeliveryConfig) -> None:
    faults = config.faults()
    if faults:
        raise Invalid(
            [
                FieldError(pointer=f"/{name}", code="out_of_bounds", detail=detail)
                for name, detail in faults.items()
            ]
        )
