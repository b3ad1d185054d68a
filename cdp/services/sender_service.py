"""Senders of a client: set, read and taken away. What is stored is in force within 2 s."""

from collections.abc import Callable, Container
from dataclasses import replace
from typing import Final

from cdp.channels.senders import UnfitSender, normalise
from cdp.domain.ids import ClientId, fresh_id, text_of
from cdp.domain.sender import SENDERS_MAX, Identity, Sender
from cdp.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed
from cdp.ports.clock import Clock
from cdp.storage.delivery_configs import DeliveryConfigs
from cdp.storage.senders import Senders

NAMED_MAX: Final = 3


class SenderService:
    """Keeps senders, one client at a time."""

    def __init__(
        self,
        *,
        senders: Senders,
        configs: DeliveryConfigs,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._senders = senders
        self._configs = configs
        self._clock = clock
        self._random_bytes = random_bytes

    async def put(
        self,
        client_id: ClientId,
        name: str,
        identity: Identity,
        *,
        is_default: bool | None = None,
        seen: Container[int] | None = None,
    ) -> tuple[Sender, bool]:
        """Make a sender, or let it be this; and whether it is new.

        Args:
            client_id: whose.
            name: which.
            identity: what it shows.
            is_default: True takes the place of the channel's default; None leaves a sender what it
                is, and makes a new one the default where its channel has none.
            seen: versions that the caller knows; None makes or changes any.

        Raises:
            Invalid: the identity is none on its channel.
            Conflict: it is for another channel, or there are too many.
            PreconditionFailed: there is none, or its version is another.
        """
        identity = _fit(identity)
        while True:
            stored = await self._senders.find(client_id, name)
            if seen is not None and (stored is None or stored.version not in seen):
                raise PreconditionFailed
            if stored is None:
                saved = await self._make(client_id, name, identity, is_default)
            else:
                saved = await self._change(stored, identity, is_default)
            # Else somebody was quicker: look again.
            if saved is not None:
                return saved, stored is None

    async def _make(
        self, client_id: ClientId, name: str, identity: Identity, is_default: bool | None
    ) -> Sender | None:
        if await self._senders.count(client_id) >= SENDERS_MAX:
            raise Conflict(f"There are at most {SENDERS_MAX} senders.")
        if is_default is None:
            is_default = not await self._senders.has_default(client_id, identity.channel)
        now = self._clock.now()
        made = Sender(
            id=fresh_id(now, self._random_bytes),
            client_id=client_id,
            name=name,
            identity=identity,
            is_default=is_default,
            version=1,
            created_at=now,
            updated_at=now,
        )
        return made if await self._senders.insert(made) else None

    async def _change(
        self, stored: Sender, identity: Identity, is_default: bool | None
    ) -> Sender | None:
        if stored.channel != identity.channel:
            raise Conflict(f"It is a sender on the channel {stored.channel}, and stays so.")
        wanted = replace(
            stored,
            identity=identity,
            is_default=stored.is_default if is_default is None else is_default,
        )
        if wanted == stored:
            return stored
        changed = replace(wanted, version=stored.version + 1, updated_at=self._clock.now())
        return changed if await self._senders.replace(changed, seen=stored.version) else None

    async def get(self, client_id: ClientId, name: str) -> Sender:
        """One sender.

        Raises:
            NotFound: there is none.
        """
        sender = await self._senders.find(client_id, name)
        if sender is None:
            raise NotFound
        return sender

    async def page(
        self, client_id: ClientId, *, channel: str | None, after: str | None, limit: int
    ) -> list[Sender]:
        """Senders by name; only those of the channel, if one is named."""
        return await self._senders.page(client_id, channel=channel, after=after, limit=limit)

    async def delete(self, client_id: ClientId, name: str, *, seen: Container[int] | None) -> None:
        """Take a sender away.

        Raises:
            NotFound: there is none.
            Conflict: a delivery configuration names it.
            PreconditionFailed: its version is another.
        """
        while True:
            sender = await self.get(client_id, name)
            if seen is not None and sender.version not in seen:
                raise PreconditionFailed
            await self._require_unused(client_id, name)
            if await self._senders.delete(client_id, name, seen=sender.version):
                break
        try:
            # It may have been named since, by one who still saw it.
            await self._require_unused(client_id, name)
        except Conflict:
            await self._senders.insert(sender)
            raise

    async def _require_unused(self, client_id: ClientId, name: str) -> None:
        users = await self._configs.naming_sender(client_id, name, limit=NAMED_MAX)
        if users:
            ids = ", ".join(text_of(level.id) for level in users)
            raise Conflict(f"Delivery configurations name it: {ids}.")


def _fit(identity: Identity) -> Identity:
    try:
        return normalise(identity)
    except UnfitSender as unfit:
        error = FieldError(
            pointer=f"/{unfit.field}", code="sender_invalid", detail=f"{unfit.detail}."
        )
        raise Invalid([error]) from None
