"""Inboxes: what users of a client's app see of their in-app messages, and what they do with them.

A user is known by a token that the client's backend has asked for. Seeing and reading become events
of the communication, as opens and clicks of an email do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from cdp.domain.event import EventName
from cdp.domain.ids import ClientId, ResultId, id_from_text, text_of
from cdp.domain.inbox import MARK_MAX, InboxPosition, InboxUser, Mark
from cdp.errors import NotFound, Unauthenticated
from cdp.ports.clock import Clock
from cdp.ports.inbox import InboxEntry
from cdp.services.delivery_tracking_service import DeliveryTrackingService
from cdp.services.engagement_queue import Engagement
from cdp.storage.inbox import InboxEntries

ISSUER: Final = "cdp"
AUDIENCE: Final = "inbox"
ALGORITHM: Final = "HS256"

_EVENTS: Final = {Mark.SEEN: EventName.OPENED, Mark.READ: EventName.READ}


class InboxTokens:
    """Tokens that let a user's app see that user's inbox, and nothing else (RFC 8725)."""

    def __init__(self, *, key: bytes, clock: Clock) -> None:
        """`key` has 32 bytes or more."""
        self._key = key
        self._clock = clock

    def mint(self, user: InboxUser, *, life: timedelta) -> tuple[str, datetime]:
        """A token, and when it ends."""
        now = self._clock.now()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user.user,
            "client": text_of(user.client_id),
            "iat": int(now.timestamp()),
            "exp": int((now + life).timestamp()),
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM), now + life

    def read(self, token: str) -> InboxUser:
        """Whose token it is.

        Raises:
            Unauthenticated: it is none of ours, or is over.
        """
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={
                    "require": ["exp", "iat", "sub", "aud", "iss", "client"],
                    # By our own clock, below.
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            client_id = ClientId(id_from_text(claims["client"]))
            ends_at, user = int(claims["exp"]), str(claims["sub"])
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthenticated("This is no token of an inbox.") from None
        if ends_at <= self._clock.now().timestamp():
            raise Unauthenticated("This token is over.")
        return InboxUser(client_id=client_id, user=user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What became of a mark."""

    ids: Sequence[ResultId]
    """The entries that were named and there; or, of all up to one, those that are changed."""
    has_more: bool = False
    """Whether there are more to be marked, beyond `MARK_MAX`."""


class InboxService:
    """One user's inbox at a time."""

    def __init__(
        self, *, entries: InboxEntries, tracking: DeliveryTrackingService, clock: Clock
    ) -> None:
        self._entries = entries
        self._tracking = tracking
        self._clock = clock

    async def page(
        self,
        user: InboxUser,
        *,
        unread: bool,
        archived: bool,
        before: InboxPosition | None,
        limit: int,
    ) -> list[InboxEntry]:
        """The newest entries first; those that are over are left out."""
        return await self._entries.page(
            user,
            unread=unread,
            archived=archived,
            before=before,
            limit=limit,
            now=self._clock.now(),
        )

    async def unread(self, user: InboxUser) -> int:
        """How many entries are neither read nor archived."""
        return await self._entries.unread(user, now=self._clock.now())

    async def mark(self, user: InboxUser, ids: Sequence[ResultId], mark: Mark) -> Marked:
        """Note something of these entries.

        Raises:
            NotFound: there is none of them.
        """
        known = await self._entries.known(user, ids)
        if not known:
            raise NotFound
        await self._mark(user, known, mark)
        return Marked(ids=known)

    async def mark_up_to(self, user: InboxUser, last: ResultId, mark: Mark) -> Marked:
        """Note something of an entry and of all that had arrived before it.

        Raises:
            NotFound: there is no such entry.
        """
        assert mark is not Mark.UNARCHIVED
        found = await self._entries.find(user, [last])
        if not found:
            raise NotFound
        position = InboxPosition(at=found[0].created_at, result_id=last)
        ids = await self._entries.ids_up_to(user, position, mark, limit=MARK_MAX + 1)
        await self._mark(user, ids[:MARK_MAX], mark)
        return Marked(ids=ids[:MARK_MAX], has_more=len(ids) > MARK_MAX)

    async def _mark(self, user: InboxUser, ids: Sequence[ResultId], mark: Mark) -> None:
        if not ids:
            return
        now = self._clock.now()
        if mark in _EVENTS:
            # The events first: the entries that one call left unmarked are the next one's to find,
            # and an event that is recorded again is the same event.
            events = [Engagement(result_id=r, name=_EVENTS[mark], at=now) for r in ids]
            await self._tracking.record_of_client(user.client_id, events)
        await self._entries.mark(user, ids, mark, now)
