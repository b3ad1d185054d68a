"""Inboxes: what users of a client's app see of their in-app messages, and what they do with them.

A user is known by a token that the client's backend has asked for. Seeing and reading become events
of the communication, as opens and clicks of an email do.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from cdp.domain.event import EventName
from cdp.domain.ids import ClientId, ResultId, id_from_text, text_of
from cdp.domain.inbox import Mark
from cdp.errors import BacklogFull, NotFound, OutcomeUnknown, Unauthenticated
from cdp.ports.clock import Clock
from cdp.ports.inbox import InboxEntry
from cdp.services.delivery_tracking_service import DeliveryTrackingService, Engagement
from cdp.storage.inbox import InboxEntries

log = logging.getLogger(__name__)

ISSUER: Final = "cdp"
AUDIENCE: Final = "inbox"
ALGORITHM: Final = "HS256"
LISTENERS_MAX: Final = 2_000
LISTENERS_OF_USER_MAX: Final = 10
NEWS_MAX: Final = 100
"""Notices that wait for one listener; beyond them it is told to look anew."""
RESTART_S: Final = 1.0

_FIELDS: Final = {Mark.SEEN: "seen_at", Mark.READ: "read_at", Mark.ARCHIVED: "archived_at"}
_EVENTS: Final = {Mark.SEEN: EventName.OPENED, Mark.READ: EventName.READ}


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxUser:
    """Whose inbox."""

    client_id: ClientId
    user: str


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


class InboxService:
    """One user's inbox at a time."""

    def __init__(
        self, *, entries: InboxEntries, tracking: DeliveryTrackingService, clock: Clock
    ) -> None:
        self._entries = entries
        self._tracking = tracking
        self._clock = clock

    async def page(
        self, user: InboxUser, *, unread: bool, archived: bool, before: bytes | None, limit: int
    ) -> list[InboxEntry]:
        """The newest entries first; those that are over are left out."""
        return await self._entries.page(
            user.client_id,
            user.user,
            unread=unread,
            archived=archived,
            before=before,
            limit=limit,
            now=self._clock.now(),
        )

    async def find(self, user: InboxUser, ids: Sequence[ResultId]) -> list[InboxEntry]:
        """These entries, the oldest first."""
        return await self._entries.find(user.client_id, user.user, ids) if ids else []

    async def unread(self, user: InboxUser) -> int:
        """How many entries are neither read nor archived."""
        return await self._entries.unread(user.client_id, user.user, now=self._clock.now())

    async def mark(self, user: InboxUser, ids: Sequence[ResultId], mark: Mark) -> list[ResultId]:
        """Note something of these entries; those that there are.

        Raises:
            NotFound: there is none of them.
        """
        now = self._clock.now()
        if mark is Mark.UNARCHIVED:
            found = await self._entries.unarchive(user.client_id, user.user, ids)
        else:
            found = await self._entries.mark(user.client_id, user.user, ids, _FIELDS[mark], now)
        if not found:
            raise NotFound
        if mark in _EVENTS:
            # The entry first: who dies in between is told the same again by the user's next look.
            events = [Engagement(result_id=r, name=_EVENTS[mark], at=now) for r in found]
            await self._tracking.record(events)
        return found


class Listener:
    """One open stream: told that something has changed, never what."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[ResultId | None] = asyncio.Queue(NEWS_MAX)

    def tell(self, result_id: ResultId | None) -> None:
        """A new entry, or with None: some other change."""
        with contextlib.suppress(asyncio.QueueFull):
            self.news.put_nowait(result_id)


class InboxStreams:
    """The listeners of one process, fed by one change stream for all of them."""

    def __init__(self, *, entries: InboxEntries) -> None:
        self._entries = entries
        self._listeners: dict[InboxUser, set[Listener]] = {}
        self._count = 0
        self._feeding: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def listening(self, user: InboxUser) -> Iterator[Listener]:
        """A listener for as long as the context lasts.

        Raises:
            BacklogFull: this user, or this process, has as many as it may have.
        """
        of_user = self._listeners.setdefault(user, set())
        if len(of_user) >= LISTENERS_OF_USER_MAX or self._count >= LISTENERS_MAX:
            raise BacklogFull("Too many streams are open.", retry_after_s=5)
        listener = Listener()
        of_user.add(listener)
        self._count += 1
        if self._feeding is None:
            self._feeding = asyncio.create_task(self._feed())
        try:
            yield listener
        finally:
            of_user.discard(listener)
            self._count -= 1
            if not of_user:
                self._listeners.pop(user, None)
            if not self._count and self._feeding is not None:
                self._feeding.cancel()
                self._feeding = None

    async def _feed(self) -> None:
        """Tell the listeners of what changes, for as long as there are any."""
        while True:
            with contextlib.suppress(OutcomeUnknown):
                await self._entries.watch(self._tell)
            # What has changed meanwhile nobody was told: all look anew.
            for of_user in self._listeners.values():
                for listener in of_user:
                    listener.tell(None)
            log.warning("the streams of inboxes begin anew")
            await asyncio.sleep(RESTART_S)

    def _tell(self, client_id: ClientId, user: str, new: ResultId | None) -> None:
        for listener in self._listeners.get(InboxUser(client_id=client_id, user=user), ()):
            listener.tell(new)

    async def close(self) -> None:
        """End the feeding."""
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.wait([self._feeding])
