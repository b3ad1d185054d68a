"""Providers of one owner: set up, read, changed and taken away. Credentials only go in.

What an account's settings may be says the adapter's own model; its `SecretStr` fields are sealed.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError

from cdp.domain.ids import ClientId, fresh_id, text_of
from cdp.domain.provider_account import ACCOUNTS_MAX, ProviderAccount
from cdp.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed
from cdp.ports.clock import Clock
from cdp.providers.registry import PROVIDERS, UnknownProvider, load
from cdp.services.provider_roster import Account
from cdp.services.secret_box import SecretBox
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.providers import Owner, ProviderAccounts

NAMED_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKind:
    """A kind of provider that there is."""

    kind: str
    model: type[BaseModel]
    secrets: tuple[str, ...]
    """The fields that are credentials."""


class ProviderService:
    """Accounts of the platform or of a client. A change is in force everywhere within 2 s."""

    def __init__(
        self,
        *,
        accounts: ProviderAccounts,
        configs: DeliveryConfigs,
        box: SecretBox,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._accounts = accounts
        self._configs = configs
        self._box = box
        self._clock = clock
        self._random_bytes = random_bytes

    async def create(
        self,
        owner: Owner,
        *,
        name: str,
        kind: str,
        settings: Mapping[str, Any],
        is_enabled: bool = True,
    ) -> ProviderAccount:
        """Set up an account.

        Raises:
            Invalid: the kind is not known, or the settings are not what it takes.
            Conflict: there is one of this name, or there are too many.
        """
        known = kind_of(kind)
        _require_fit(known, settings)
        if await self._accounts.count(owner) >= ACCOUNTS_MAX:
            raise Conflict(f"There are at most {ACCOUNTS_MAX} providers.")
        now = self._clock.now()
        account_id = fresh_id(now, self._random_bytes)
        account = ProviderAccount(
            id=account_id,
            client_id=owner,
            name=name,
            kind=kind,
            settings={n: v for n, v in settings.items() if n not in known.secrets},
            secrets=self._sealed(known, settings, owner, account_id),
            is_enabled=is_enabled,
            version=1,
            created_at=now,
            updated_at=now,
        )
        if not await self._accounts.insert(account):
            raise Conflict(f"There is a provider named {name} already.")
        return account

    async def replace(
        self,
        owner: Owner,
        name: str,
        *,
        settings: Mapping[str, Any],
        is_enabled: bool,
        seen: Container[int] | None,
    ) -> ProviderAccount:
        """Let an account have these settings. A credential that is left out stays as it is.

        Raises:
            NotFound: there is no such account.
            Invalid: the settings are not what its kind takes.
            PreconditionFailed: its version is another than those that are `seen`.
        """
        while True:
            account = await self.get(owner, name)
            if seen is not None and account.version not in seen:
                raise PreconditionFailed
            known = kind_of(account.kind)
            _require_fit(known, {**self._opened(account), **settings})
            changed = await self._accounts.replace(
                replace(
                    account,
                    settings={n: v for n, v in settings.items() if n not in known.secrets},
                    secrets={
                        **account.secrets,
                        **self._sealed(known, settings, owner, account.id),
                    },
                    is_enabled=is_enabled,
                    version=account.version + 1,
                    updated_at=self._clock.now(),
                ),
                seen=account.version,
            )
            # Else somebody was quicker, and their version may be one that will do.
            if changed is not None:
                return changed

    async def get(self, owner: Owner, name: str) -> ProviderAccount:
        """One account.

        Raises:
            NotFound: there is none.
        """
        account = await self._accounts.find(owner, name)
        if account is None:
            raise NotFound
        return account

    async def page(self, owner: Owner, *, after: str | None, limit: int) -> list[ProviderAccount]:
        """Accounts by name."""
        return await self._accounts.page(owner, after=after, limit=limit)

    async def delete(self, owner: Owner, name: str, *, seen: Container[int] | None) -> None:
        """Take an account away.

        Raises:
            NotFound: there is none.
            Conflict: a delivery configuration names it.
            PreconditionFailed: its version is another than those that are `seen`.
        """
        while True:
            account = await self.get(owner, name)
            if seen is not None and account.version not in seen:
                raise PreconditionFailed
            users = await self._configs.naming_provider(owner, name, limit=NAMED_MAX)
            if users:
                ids = ", ".join(text_of(level.id) for level in users)
                raise Conflict(f"Delivery configurations name it: {ids}.")
            if await self._accounts.delete(owner, name, seen=account.version):
                return

    async def unknown(self, owner: Owner, names: Iterable[str]) -> list[str]:
        """Those of the names that neither this owner nor the platform has a provider of."""
        found = await self._accounts.across_clients([] if owner is None else [owner])
        known = {account.name for account in found}
        return [name for name in names if name not in known]

    async def accounts_across_clients(
        self, client_ids: Iterable[ClientId]
    ) -> dict[ClientId | None, list[Account]]:
        """What may deliver for these clients: their own accounts, and the platform's under None.

        Those that are switched off, or whose credentials can't be opened, are left out.
        """
        found = await self._accounts.across_clients(list(client_ids))
        by_owner: dict[ClientId | None, list[Account]] = {}
        for account in found:
            if account.is_enabled:
                by_owner.setdefault(account.client_id, []).append(self.ready(account))
        return by_owner

    def ready(self, account: ProviderAccount) -> Account:
        """The account with its credentials in clear."""
        return Account(
            key=text_of(account.id),
            version=account.version,
            name=account.name,
            kind=account.kind,
            settings={**account.settings, **self._opened(account)},
            is_clients=account.client_id is not None,
        )

    def _sealed(
        self, kind: ProviderKind, settings: Mapping[str, Any], owner: Owner, account_id: bytes
    ) -> dict[str, bytes]:
        bound_to = (owner or b"") + account_id
        return {
            name: self._box.seal(secret, bound_to=bound_to)
            for name in kind.secrets
            if isinstance(secret := settings.get(name), str)
        }

    def _opened(self, account: ProviderAccount) -> dict[str, str]:
        bound_to = (account.client_id or b"") + account.id
        return {
            name: self._box.open(sealed, bound_to=bound_to)
            for name, sealed in account.secrets.items()
        }


def kind_of(kind: str) -> ProviderKind:
    """What is known of a kind.

    Raises:
        Invalid: there is none of this name.
    """
    try:
        model: type[BaseModel] = load(kind).Settings
    except UnknownProvider:
        raise Invalid.at("/kind", "unknown", "There is no such kind of provider.") from None
    secrets = tuple(
        name for name, field in model.model_fields.items() if _is_secret(field.annotation)
    )
    return ProviderKind(kind=kind, model=model, secrets=secrets)


def kinds() -> list[ProviderKind]:
    """The platform's own kinds that can be set up."""
    return [kind_of(name) for name in PROVIDERS]


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in getattr(annotation, "__args__", ())


def _require_fit(kind: ProviderKind, settings: Mapping[str, Any]) -> None:
    try:
        kind.model.model_validate(dict(settings))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise Invalid(
            [
                FieldError(
                    pointer="/settings" + "".join(f"/{part}" for part in detail["loc"]),
                    code=detail["type"],
                    detail=detail["msg"].removeprefix("Value error, ").rstrip(".") + ".",
                )
                for detail in details[:20]
            ]
        ) from None
