"""Live streams of inboxes: who listens in this process, and what each listener is told.

One change stream of MongoDB feeds all listeners of a process. It says only whose inbox has changed;
what is there now each of them reads, so nothing is told that MongoDB does not have.

A stream is short. Its page opens it anew with the time up to which it was told everything, and is
told what has arrived since then: that an end of a stream, of a process or of MongoDB's own stream
loses nothing rests on this alone. What arrived right before that time may be told twice.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cdp.domain.ids import ClientId, ResultId
from cdp.domain.inbox import InboxUser
from cdp.errors import BacklogFull, OutcomeUnknown, PlatformFull
from cdp.ports.clock import Clock
from cdp.ports.inbox import InboxEntry
from cdp.storage.inbox import InboxEntries
from cdp.telemetry import Telemetry

log = logging.getLogger(__name__)

STREAM_S: Final = 25.0
"""For how long a stream lasts: less than a replica of the API is given to end its requests in."""
HEARTBEAT_S: Final = 10.0
CATCH_UP_MAX: Final = 100
"""Missed entries that are told one by one; of more the page is told to read the list."""
SETTLE: Final = timedelta(seconds=10)
"""How late an entry may be seen: it has its time before it is written, and clocks differ."""
_BEGIN_S: Final = 5.0
_PACE_S: Final = 0.1
"""Between two looks for one listener, however often its inbox changes."""
_RESTART_S: Final = 1.0
_RETRY_S: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How many streams there may be at once in one process."""

    listeners: int = 500
    of_client: int = 400
    """No client keeps the others out."""
    of_user: int = 10
    news: int = 100
    """New entries that wait for one listener; beyond, it looks for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a listener is told at once."""

    at: datetime
    """Up to when it has been told everything."""
    entries: Sequence[InboxEntry] = ()
    unread: int | None = None
    """How many are unread; None is as many as before."""
    is_behind: bool = False
    """Whether it missed more than it can be told: it has to read the list anew."""


class Listener:
    """One open stream: what waits for it. It is told that there is something, never what."""

    def __init__(self, user: InboxUser, *, news_max: int) -> None:
        self.user = user
        self.is_open = False
        """Whether it was told of every change since some moment."""
        self.is_over = False
        self._news_max = news_max
        self._new: set[ResultId] = set()
        self._looks_anew = False
        self._something = asyncio.Event()

    def tell(self, new: ResultId | None) -> None:
        """There is a new entry, or with None: something else has changed."""
        if new is not None:
            if len(self._new) < self._news_max:
                self._new.add(new)
            else:
                self._looks_anew = True
        self._something.set()

    def look_anew(self) -> None:
        """Something may have come that nobody told of."""
        self._looks_anew = True
        self._something.set()

    def end(self) -> None:
        """The stream is over."""
        self.is_over = True
        self._something.set()

    async def take(self, *, within_s: float) -> tuple[set[ResultId], bool] | None:
        """The new entries that wait, and whether to look for others; None if nothing came."""
        try:
            async with asyncio.timeout(within_s):
                await self._something.wait()
        except TimeoutError:
            return None
        self._something.clear()
        taken = self._new, self._looks_anew
        self._new, self._looks_anew = set(), False
        return taken


@dataclass(slots=True)
class _Progress:
    """How far one stream is."""

    since: datetime
    """Entries that arrived from then on are this stream's to tell."""
    at: datetime
    """Up to when it was told everything."""
    told: set[ResultId] = field(default_factory=set)
    unread: int | None = None


class InboxStreams:
    """The listeners of one process."""

    def __init__(
        self,
        *,
        entries: InboxEntries,
        clock: Clock,
        telemetry: Telemetry,
        limits: StreamLimits | None = None,
        stream_s: float = STREAM_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._entries = entries
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits or StreamLimits()
        self._stream_s = stream_s
        self._heartbeat_s = heartbeat_s
        self._listeners: dict[InboxUser, set[Listener]] = {}
        self._of_client: dict[ClientId, int] = {}
        self._count = 0
        self._feeding: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._heard_at: datetime | None = None
        """Up to when MongoDB has told of all changes since it began to."""
        self._is_closed = False

    async def open(self, user: InboxUser) -> Listener:
        """A listener who misses nothing from now on, until `leave`.

        Raises:
            BacklogFull: this user, or this client, has as many as it may have.
            PlatformFull: this process has, or it is about to end.
            OutcomeUnknown: MongoDB does not tell of changes.
        """
        listener = self._enter(user)
        try:
            async with asyncio.timeout(_BEGIN_S):
                await self._begun.wait()
        except BaseException as error:
            self.leave(listener)
            if isinstance(error, TimeoutError):
                raise OutcomeUnknown("There is nobody who tells of changes.") from None
            raise
        listener.is_open = True
        return listener

    def _enter(self, user: InboxUser) -> Listener:
        limits, client_id = self._limits, user.client_id
        if self._is_closed or self._count >= limits.listeners:
            raise PlatformFull("Too many streams are open.", retry_after_s=_RETRY_S)
        if self._of_client.get(client_id, 0) >= limits.of_client:
            raise BacklogFull("Too many streams of this client are open.", retry_after_s=_RETRY_S)
        if len(self._listeners.get(user, ())) >= limits.of_user:
            raise BacklogFull("Too many streams of this user are open.", retry_after_s=_RETRY_S)
        listener = Listener(user, news_max=limits.news)
        self._listeners.setdefault(user, set()).add(listener)
        self._of_client[client_id] = self._of_client.get(client_id, 0) + 1
        self._count_by(1)
        if self._feeding is None:
            self._feeding = asyncio.create_task(self._feed(), name="inbox-streams")
        return listener

    def leave(self, listener: Listener) -> None:
        """It listens no longer. Without listeners nothing is asked of MongoDB."""
        user = listener.user
        of_user = self._listeners.get(user, set())
        if listener not in of_user:
            return
        of_user.discard(listener)
        if not of_user:
            del self._listeners[user]
        self._of_client[user.client_id] -= 1
        if not self._of_client[user.client_id]:
            del self._of_client[user.client_id]
        self._count_by(-1)
        if not self._count:
            self._stop_feeding()

    def _count_by(self, change: int) -> None:
        self._count += change
        self._telemetry.set("cdp_inbox_listeners", self._count)

    async def follow(
        self, listener: Listener, *, since: datetime | None
    ) -> AsyncGenerator[Told, None]:
        """What to tell a listener, until its stream is over; something at each heartbeat at least.

        Args:
            listener: whose stream it is.
            since: up to when it was told everything before; None is from now on.

        Raises:
            OutcomeUnknown: MongoDB is away.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._stream_s
        now = self._clock.now()
        begins = now if since is None else min(since, now)
        progress = _Progress(since=begins, at=begins)
        if since is None:
            yield await self._told(listener, progress, [], at=now)
        else:
            yield await self._caught_up(listener, progress)
        while (left_s := ends - loop.time()) > 0:
            taken = await listener.take(within_s=min(self._heartbeat_s, left_s))
            if listener.is_over:
                return
            # Not the time it is: MongoDB may have been silent for long.
            heard_at = self._heard_at or progress.at
            if taken is None:
                progress.at = max(progress.at, heard_at)
                yield Told(at=progress.at)
                continue
            new, looks_anew = taken
            if looks_anew:
                yield await self._caught_up(listener, progress)
            else:
                found = await self._entries.find(listener.user, list(new)) if new else []
                yield await self._told(listener, progress, found, at=heard_at)
            await asyncio.sleep(_PACE_S)

    async def _caught_up(self, listener: Listener, progress: _Progress) -> Told:
        now = self._clock.now()
        found = await self._entries.arrived_since(
            listener.user, progress.since - SETTLE, limit=CATCH_UP_MAX + 1, now=now
        )
        if len(found) > CATCH_UP_MAX:
            progress.since = now
            return await self._told(listener, progress, [], at=now, is_behind=True)
        return await self._told(listener, progress, found, at=now)

    async def _told(
        self,
        listener: Listener,
        progress: _Progress,
        found: Sequence[InboxEntry],
        *,
        at: datetime,
        is_behind: bool = False,
    ) -> Told:
        entries = [entry for entry in found if entry.result_id not in progress.told]
        progress.told |= {entry.result_id for entry in entries}
        count = await self._entries.unread(listener.user, now=self._clock.now())
        unread = count if count != progress.unread else None
        progress.unread = count
        progress.at = max(progress.at, at)
        return Told(at=progress.at, entries=entries, unread=unread, is_behind=is_behind)

    async def _feed(self) -> None:
        """Tell the listeners of what changes, for as long as there are any."""
        while True:
            try:
                await self._entries.watch_across_clients(
                    self._tell, heard=self._heard, now=self._clock.now
                )
            except OutcomeUnknown:
                log.warning("the streams of inboxes begin anew")
            except Exception:
                # The top of a loop: whatever it was, the next round starts from MongoDB.
                log.exception("the streams of inboxes failed")
                self._telemetry.count("cdp_loop_errors", loop="inbox-streams")
            self._begun.clear()
            await asyncio.sleep(_RESTART_S)

    def _heard(self, at: datetime) -> None:
        self._heard_at = at if self._heard_at is None else max(self._heard_at, at)
        if self._begun.is_set():
            return
        self._begun.set()
        # What came between this beginning and the end before it nobody was told of.
        for listener in self._all():
            if listener.is_open:
                listener.look_anew()

    def _tell(self, user: InboxUser, new: ResultId | None) -> None:
        for listener in self._listeners.get(user, ()):
            listener.tell(new)

    def _all(self) -> list[Listener]:
        return [listener for of_user in self._listeners.values() for listener in of_user]

    def _stop_feeding(self) -> "asyncio.Task[None] | None":
        feeding, self._feeding = self._feeding, None
        self._begun.clear()
        if feeding is not None:
            feeding.cancel()
        return feeding

    async def close(self) -> None:
        """End all streams at their next event, and let no other begin (rule O3)."""
        self._is_closed = True
        for listener in self._all():
            listener.end()
        feeding = self._stop_feeding()
        if feeding is not None:
            await asyncio.wait([feeding])
