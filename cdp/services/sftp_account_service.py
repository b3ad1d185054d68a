"""Accounts of the SFTP gateway: set, read and taken away. A change is in force within 2 s."""

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cdp.domain.ids import ClientId, fresh_id
from cdp.domain.sftp_account import (
    ACCOUNTS_MAX,
    KEYS_MAX,
    NAME,
    QUOTA_BYTES_MAX,
    QUOTA_FILES_MAX,
    PublicKey,
    SftpAccount,
)
from cdp.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed
from cdp.ports.clock import Clock
from cdp.services.public_keys import UnfitKey, read_public_key
from cdp.storage.sftp_accounts import SftpAccounts

DEFAULTS: Final = ("template", "campaign", "segment", "channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSftpAccount:
    """What an account is to be."""

    keys: Sequence[PublicKey]
    defaults: Mapping[str, Any]
    is_enabled: bool = True


class SftpAccountService:
    """Keeps accounts, one client at a time; only the gateway asks across clients."""

    def __init__(
        self, *, accounts: SftpAccounts, clock: Clock, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._random_bytes = random_bytes

    async def put(
        self,
        client_id: ClientId,
        name: str,
        new: NewSftpAccount,
        *,
        seen: Container[int] | None = None,
    ) -> tuple[SftpAccount, bool]:
        """Make an account, or let it be this; and whether it is new. Its quota stays.

        Raises:
            Invalid: the name or a key is none.
            Conflict: somebody has the name, or there are too many.
            PreconditionFailed: there is none, or its version is not in `seen`.
        """
        _require_name(name)
        _require_keys(new.keys)
        while True:
            stored = await self._accounts.find(client_id, name)
            if seen is not None and (stored is None or stored.version not in seen):
                raise PreconditionFailed
            if stored is None:
                made = await self._make(client_id, name, new)
                if made is not None:
                    return made, True
                continue
            changed = await self._change(
                replace(
                    stored,
                    keys=tuple(new.keys),
                    defaults=new.defaults,
                    is_enabled=new.is_enabled,
                ),
                stored,
            )
            # Else somebody was quicker: look again.
            if changed is not None:
                return changed, False

    async def _make(
        self, client_id: ClientId, name: str, new: NewSftpAccount
    ) -> SftpAccount | None:
        if await self._accounts.count(client_id) >= ACCOUNTS_MAX:
            raise Conflict(f"There are at most {ACCOUNTS_MAX} accounts for SFTP.")
        now = self._clock.now()
        made = SftpAccount(
            id=fresh_id(now, self._random_bytes),
            client_id=client_id,
            name=name,
            keys=tuple(new.keys),
            defaults=new.defaults,
            is_enabled=new.is_enabled,
            created_at=now,
            updated_at=now,
        )
        if await self._accounts.insert(made):
            return made
        holders = await self._accounts.across_clients([name])
        if any(each.client_id != client_id for each in holders):
            raise Conflict(f"The name {name} is taken.")
        return None

    async def update(
        self,
        client_id: ClientId,
        name: str,
        change: Callable[[SftpAccount], SftpAccount],
    ) -> SftpAccount:
        """Change one thing of an account, whatever else is changed meanwhile.

        Raises:
            NotFound: there is none.
            Invalid: it has no key that is one any more, or a quota out of bounds.
        """
        while True:
            stored = await self.get(client_id, name)
            wanted = change(stored)
            _require_keys(wanted.keys)
            _require_quota(wanted)
            changed = await self._change(wanted, stored)
            if changed is not None:
                return changed

    async def _change(self, wanted: SftpAccount, stored: SftpAccount) -> SftpAccount | None:
        if wanted == stored:
            return stored
        changed = replace(wanted, version=stored.version + 1, updated_at=self._clock.now())
        return changed if await self._accounts.replace(changed, seen=stored.version) else None

    async def get(self, client_id: ClientId, name: str) -> SftpAccount:
        """One account.

        Raises:
            NotFound: this client has none of this name.
        """
        account = await self._accounts.find(client_id, name)
        if account is None:
            raise NotFound
        return account

    async def page(
        self, client_id: ClientId, *, after: str | None, limit: int
    ) -> list[SftpAccount]:
        """A client's accounts by name."""
        return await self._accounts.page(client_id, after=after, limit=limit)

    async def delete(self, client_id: ClientId, name: str, *, seen: Container[int] | None) -> None:
        """Take an account away; what was sent with it goes on.

        Raises:
            NotFound: there is none.
            PreconditionFailed: its version is another.
        """
        while True:
            account = await self.get(client_id, name)
            if seen is not None and account.version not in seen:
                raise PreconditionFailed
            if await self._accounts.delete(client_id, name, seen=account.version):
                return

    async def any_across_clients(self) -> bool:
        """Whether anybody may log in at all."""
        return await self._accounts.any_across_clients()

    async def across_clients(self, names: Collection[str]) -> dict[str, SftpAccount]:
        """Accounts by their logins, for the gateway: as they are now."""
        wanted = [name for name in names if NAME.fullmatch(name)]
        if not wanted:
            return {}
        return {each.name: each for each in await self._accounts.across_clients(wanted)}


def public_keys(lines: Sequence[str]) -> tuple[PublicKey, ...]:
    """The keys in these lines, each once.

    Raises:
        Invalid: one is none.
    """
    keys: dict[bytes, PublicKey] = {}
    errors = []
    for index, line in enumerate(lines):
        try:
            key = read_public_key(line)
        except UnfitKey as unfit:
            pointer = f"/keys/{index}"
            errors.append(FieldError(pointer=pointer, code="public_key_invalid", detail=str(unfit)))
        else:
            keys[key.blob] = key
    if errors:
        raise Invalid(errors)
    return tuple(keys.values())


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Invalid.at(
            "name",
            "name_invalid",
            "A login begins with a small letter; 3 to 32 of small letters, digits, dash, "
            "underline.",
        )


def _require_keys(keys: Sequence[PublicKey]) -> None:
    if not 1 <= len(keys) <= KEYS_MAX:
        detail = f"An account has 1 to {KEYS_MAX} keys; to close it, disable it."
        raise Invalid.at("/keys", "public_keys_invalid", detail)


def _require_quota(account: SftpAccount) -> None:
    if not 1 <= account.quota_bytes <= QUOTA_BYTES_MAX:
        detail = f"1 to {QUOTA_BYTES_MAX:,} bytes."
        raise Invalid.at("/quota_bytes", "quota_invalid", detail)
    if not 1 <= account.quota_files <= QUOTA_FILES_MAX:
        raise Invalid.at("/quota_files", "quota_invalid", f"1 to {QUOTA_FILES_MAX:,} files.")
