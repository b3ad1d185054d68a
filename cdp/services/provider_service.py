"""Providers of one owner: set up, read, changed and taken away. Credentials only go in.

What an account's settings may be says the adapter's own model: see `provider_kinds`.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from cdp.domain.delivery_config import ConfigLevel
from cdp.domain.ids import ClientId, fresh_id, text_of
from cdp.domain.provider_account import ACCOUNTS_MAX, ProviderAccount
from cdp.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed, pointer_of
from cdp.ports.clock import Clock
from cdp.services.provider_kinds import ProviderKind, kind_of, whole
from cdp.services.provider_roster import Account
from cdp.services.secret_box import SecretBox, Unopenable
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.providers import Owner, ProviderAccounts

NAMED_MAX: Final = 3
PAGE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What became of all credentials."""

    accounts: int
    """Accounts some of whose credentials an older key had sealed; now the current one has."""
    unreadable: tuple[ProviderAccount, ...]
    """Those some of whose credentials no key opens: they have to be given again."""


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
        trusts_clients: bool = False,
    ) -> None:
        """`trusts_clients` says whether they may set what else only the operator may."""
        self._accounts = accounts
        self._configs = configs
        self._box = box
        self._clock = clock
        self._random_bytes = random_bytes
        self._trusts_clients = trusts_clients

    async def create(
        self,
        owner: Owner,
        *,
        name: str,
        kind: str,
        settings: Mapping[str, Any],
        is_enabled: bool = True,
        rate_per_s: float | None = None,
    ) -> ProviderAccount:
        """Set up an account.

        Raises:
            Invalid: the kind is not known, or the settings are not what it takes.
            Conflict: there is one of this name, or there are too many.
        """
        known = kind_of(kind)
        plain, given = self._parted(owner, known, settings)
        credentials = {path: secret for path, secret in given.items() if secret is not None}
        checked = known.checked(plain, credentials)
        if await self._accounts.count(owner) >= ACCOUNTS_MAX:
            raise Conflict(f"There are at most {ACCOUNTS_MAX} providers.")
        now = self._clock.now()
        account_id = fresh_id(now, self._random_bytes)
        account = ProviderAccount(
            id=account_id,
            client_id=owner,
            name=name,
            kind=kind,
            settings=checked,
            secrets=self._sealed(credentials, owner, account_id),
            secrets_set_at=dict.fromkeys(credentials, now),
            is_enabled=is_enabled,
            rate_per_s=rate_per_s,
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
        rate_per_s: float | None = None,
        seen: Container[int] | None,
    ) -> ProviderAccount:
        """Let an account have these settings.

        A credential that is left out stays as it is; one that is None is taken away.

        Raises:
            NotFound: there is no such account.
            Invalid: the settings are not what its kind takes.
            PreconditionFailed: its version is another than those that are `seen`.
        """
        while True:
            account = await self.get(owner, name)
            if seen is not None and account.version not in seen:
                raise PreconditionFailed
            changed = await self._accounts.replace(
                replace(
                    self._with_settings(account, settings),
                    is_enabled=is_enabled,
                    rate_per_s=rate_per_s,
                    version=account.version + 1,
                ),
                seen=account.version,
            )
            # Else somebody was quicker, and their version may be one that will do.
            if changed is not None:
                return changed

    def _with_settings(
        self, account: ProviderAccount, settings: Mapping[str, Any]
    ) -> ProviderAccount:
        kind = kind_of(account.kind)
        plain, given = self._parted(account.client_id, kind, settings)
        now = self._clock.now()
        set_at = {p: at for p, at in account.secrets_set_at.items() if p in account.secrets}
        credentials: dict[str, Any] = dict(self._kept(account, leaving=given))
        for path, secret in given.items():
            set_at.pop(path, None)
            if secret is not None:
                credentials[path], set_at[path] = secret, now
        return replace(
            account,
            settings=kind.checked(plain, credentials),
            secrets=self._sealed(credentials, account.client_id, account.id),
            secrets_set_at=set_at,
            updated_at=now,
        )

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
            await self._require_unused(owner, name)
            if await self._accounts.delete(owner, name, seen=account.version):
                break
        try:
            # It may have been named since, by one who still saw it.
            await self._require_unused(owner, name)
        except Conflict:
            await self._accounts.insert(account)
            raise

    async def _require_unused(self, owner: Owner, name: str) -> None:
        if owner is None:
            users = await self._users_of_the_platforms(name)
        else:
            users = await self._configs.naming_provider(owner, name, limit=NAMED_MAX)
        if users:
            ids = ", ".join(text_of(level.id) for level in users[:NAMED_MAX])
            raise Conflict(f"Delivery configurations name it: {ids}.")

    async def _users_of_the_platforms(self, name: str) -> list[ConfigLevel]:
        """Every client may name the platform's; who has one of this name means that."""
        levels = await self._configs.naming_provider_across_clients(name)
        clients = [level.client_id for level in levels if level.client_id is not None]
        found = await self._accounts.across_clients(clients)
        own = {account.client_id for account in found if account.name == name} - {None}
        return [level for level in levels if level.client_id not in own]

    async def accounts_across_clients(
        self, client_ids: Iterable[ClientId]
    ) -> dict[ClientId | None, list[Account]]:
        """What may deliver for these clients: their own accounts, and the platform's under None.

        Those that are switched off are left out.
        """
        found = await self._accounts.across_clients(list(client_ids))
        by_owner: dict[ClientId | None, list[Account]] = {}
        for account in found:
            if account.is_enabled:
                by_owner.setdefault(account.client_id, []).append(self.ready(account))
        return by_owner

    def ready(self, account: ProviderAccount) -> Account:
        """The account with its credentials in clear, where they can be read."""
        ready = Account(
            key=text_of(account.id),
            version=account.version,
            name=account.name,
            kind=account.kind,
            rate_per_s=account.rate_per_s,
            is_clients=account.client_id is not None,
        )
        try:
            return replace(ready, settings=whole(account.settings, self._opened(account)))
        except Unopenable:
            return replace(ready, is_readable=False)

    async def reseal(self) -> Resealed:
        """Seal with the current key what another has sealed, so that the other may go."""
        done, unreadable, after = 0, list[ProviderAccount](), None
        while page := await self._accounts.page_across_clients(after=after, limit=PAGE):
            for account in page:
                if all(map(self._box.is_current, account.secrets.values())):
                    continue
                try:
                    opened = self._opened(account)
                except Unopenable:
                    unreadable.append(account)
                    continue
                sealed = self._sealed(opened, account.client_id, account.id)
                # Where somebody was quicker, their change has sealed all of them.
                await self._accounts.replace(replace(account, secrets=sealed), seen=account.version)
                done += 1
            after = page[-1].id
        return Resealed(accounts=done, unreadable=tuple(unreadable))

    def _parted(
        self, owner: Owner, kind: ProviderKind, settings: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        refused = [] if owner is None or self._trusts_clients else kind.operators & set(settings)
        if refused:
            raise Invalid([_operators_only(name) for name in sorted(refused)])
        return kind.part(settings)

    def _sealed(
        self, credentials: Mapping[str, str], owner: Owner, account_id: bytes
    ) -> dict[str, bytes]:
        bound_to = _bound_to(owner, account_id)
        return {
            path: self._box.seal(secret, bound_to=bound_to) for path, secret in credentials.items()
        }

    def _opened(self, account: ProviderAccount) -> dict[str, str]:
        bound_to = _bound_to(account.client_id, account.id)
        return {
            path: self._box.open(sealed, bound_to=bound_to)
            for path, sealed in account.secrets.items()
        }

    def _kept(self, account: ProviderAccount, *, leaving: Container[str]) -> dict[str, str]:
        """The credentials that are not in `leaving`.

        Raises:
            Invalid: some of them can't be opened.
        """
        kept, lost = dict[str, str](), []
        for path, sealed in account.secrets.items():
            if path in leaving:
                continue
            try:
                kept[path] = self._box.open(
                    sealed, bound_to=_bound_to(account.client_id, account.id)
                )
            except Unopenable:
                lost.append(path)
        if lost:
            raise Invalid([_unreadable(path) for path in lost])
        return kept


def _bound_to(owner: Owner, account_id: bytes) -> bytes:
    return (owner or b"") + account_id


def _operators_only(name: str) -> FieldError:
    return FieldError(
        pointer=pointer_of(("settings", name)),
        code="operators_only",
        detail="Only the operator of the platform may set this.",
    )


def _unreadable(path: str) -> FieldError:
    return FieldError(
        pointer=pointer_of(("settings", *path.split("/", 1))),
        code="unreadable",
        detail="The key that has sealed this is gone: give it again.",
    )
