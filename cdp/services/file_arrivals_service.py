"""What others put into object storage: noted as files, each once.

Whoever is told of an object looks at it and notes a file of it; `FileReceivingService` takes it in.
What was noted needs no telling again. What the telling misses is found by a look at all that lies
there, once in a while: a notification that was lost, what somebody left who died before he deleted
it, and what nobody is to have.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from cdp.domain.client import Client
from cdp.domain.file_arrival import ARRIVALS, DropPlace, UploadPlace, place_of, version_of
from cdp.domain.ids import ClientId, fresh_id
from cdp.domain.request_file import (
    FileSource,
    FileState,
    Incoming,
    RequestFile,
    arrived,
    failed,
)
from cdp.errors import OutcomeUnknown
from cdp.ports.arrivals import Arrivals
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore, StoredObject, StoreUnavailable
from cdp.services.file_service import shown_name
from cdp.storage.clients import Clients
from cdp.storage.request_files import RequestFiles
from cdp.telemetry import Telemetry

AT_ONCE: Final = 50
PAGE: Final = 1_000
MISSED_AFTER: Final = timedelta(minutes=10)
"""What has lain there for so long was not told of, or was left."""
STRAY_KEPT: Final = timedelta(days=7)
"""How long an object is left alone that is nobody's file, so that its owner can move it."""

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What was made of an object."""

    NOTED = "noted"
    """It is a file now."""
    KNOWN = "known"
    """It is one already, that is not taken in yet."""
    LATE = "late"
    """Its file needs it no more, or it came when none was awaited: it is deleted."""
    STRAY = "stray"
    """Its key names no client or file that there is."""
    GONE = "gone"
    """It is not there any more."""
    UNSETTLED = "unsettled"
    """Somebody may be writing it still."""
    UNAVAILABLE = "unavailable"
    """It could not be looked at, or its file was changed meanwhile."""


AGAIN: Final = frozenset({Outcome.UNSETTLED, Outcome.UNAVAILABLE})
"""Outcomes of which an object is to be told again."""


class FileArrivalsService:
    """Notes what has come. Several may do so at once: each object becomes one file."""

    def __init__(
        self,
        *,
        arrivals: Arrivals,
        store: ObjectStore,
        files: RequestFiles,
        clients: Clients,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        telemetry: Telemetry,
        settle: timedelta,
    ) -> None:
        """`settle`: how long an object lies unchanged before it counts as whole."""
        self._arrivals = arrivals
        self._store = store
        self._files = files
        self._clients = clients
        self._clock = clock
        self._random_bytes = random_bytes
        self._telemetry = telemetry
        self._settle = settle

    async def step(self, *, wait_s: float) -> int:
        """Note what has come, or wait so long for it, about; of how many objects it was told.

        Raises:
            StoreUnavailable: nobody could be asked what has come.
        """
        told = await self._arrivals.next(limit=AT_ONCE, wait_s=wait_s)
        outcomes = await self._note([arrival.key for arrival in told])
        done = [arrival for arrival in told if outcomes[arrival.key] not in AGAIN]
        await self._arrivals.done(done)
        return len(told)

    async def sweep(self) -> None:
        """Look at all that lies there for long: see the module's head.

        Raises:
            StoreUnavailable: the store can't be listed.
        """
        after: str | None = None
        while True:
            page = await self._store.page(ARRIVALS, after=after, limit=PAGE)
            now = self._clock.now()
            old = [stored for stored in page if now - stored.stored_at >= MISSED_AFTER]
            for begin in range(0, len(old), AT_ONCE):
                await self._sweep(old[begin : begin + AT_ONCE])
            if len(page) < PAGE:
                return
            after = page[-1].key

    async def _sweep(self, lying: Sequence[StoredObject]) -> None:
        outcomes = await self._note([stored.key for stored in lying])
        kept_since = self._clock.now() - STRAY_KEPT
        for stored in lying:
            if outcomes[stored.key] is Outcome.STRAY and stored.stored_at < kept_since:
                # Its name is not logged: it may be a person's.
                log.warning("an object that is nobody's file is deleted")
                await self._store.delete(stored.key)

    async def end_overdue(self) -> None:
        """Let files fail that were awaited for too long; if one has come after all, it is noted.

        Raises:
            StoreUnavailable: it can't be seen whether they came.
        """
        now = self._clock.now()
        for file in await self._files.overdue_across_clients(now=now, limit=AT_ONCE):
            assert file.incoming is not None
            if await self._store.look(file.incoming.key) is not None:
                await self._files.replace(arrived(file, at=now))
                continue
            detail = "Nothing was put to its URL in time."
            await self._files.replace(failed(file, reason="never_came", detail=detail, at=now))

    async def _note(self, keys: Sequence[str]) -> Mapping[str, Outcome]:
        """What becomes of each object; some are told of twice at once."""
        places = {key: place_of(key) for key in keys}
        drops = {p.client_id for p in places.values() if isinstance(p, DropPlace)}
        clients = await self._clients.across_clients(list(drops)) if drops else {}
        found = await asyncio.gather(*(self._one(k, p, clients) for k, p in places.items()))
        outcomes = dict(zip(places, found, strict=True))
        for outcome in outcomes.values():
            self._telemetry.count("cdp_file_arrivals", outcome=outcome.value)
        return outcomes

    async def _one(
        self,
        key: str,
        place: UploadPlace | DropPlace | None,
        clients: Mapping[ClientId, Client],
    ) -> Outcome:
        try:
            stored = await self._store.look(key)
            if stored is None:
                return Outcome.GONE
            if isinstance(place, UploadPlace):
                return await self._uploaded(place)
            if place is None or place.client_id not in clients:
                log.warning("an object has come that is nobody's file")
                return Outcome.STRAY
            # One from the future was settled elsewhere, by another clock.
            if abs(self._clock.now() - stored.stored_at) < self._settle:
                return Outcome.UNSETTLED
            return await self._dropped(place, stored)
        except (StoreUnavailable, OutcomeUnknown) as error:
            log.warning("an object waits", extra={"error": type(error).__name__})
            return Outcome.UNAVAILABLE

    async def _uploaded(self, place: UploadPlace) -> Outcome:
        file = await self._files.find(place.client_id, place.file_id)
        if file is None:
            return Outcome.STRAY
        if file.state is FileState.AWAITED:
            noted = await self._files.replace(arrived(file, at=self._clock.now()))
            # Not noted: it was changed meanwhile, and what holds now is seen by another look.
            return Outcome.NOTED if noted else Outcome.UNAVAILABLE
        return await self._noted_before(file, place.key)

    async def _dropped(self, place: DropPlace, stored: StoredObject) -> Outcome:
        now, key = self._clock.now(), stored.key
        version = version_of(size=stored.size, stored_at=stored.stored_at)
        new = RequestFile(
            id=fresh_id(now, self._random_bytes),
            client_id=place.client_id,
            name=shown_name(place.name),
            source=FileSource.BUCKET,
            size=0,
            digest=b"",
            incoming=Incoming(key=key, version=version),
            state=FileState.RECEIVING,
            created_at=now,
            updated_at=now,
        )
        file = await self._files.of_object(place.client_id, key=key, version=version)
        if file is None:
            await self._files.insert(new)
            file = await self._files.of_object(place.client_id, key=key, version=version)
            assert file is not None
        if file.id == new.id:
            return Outcome.NOTED
        return await self._noted_before(file, key)

    async def _noted_before(self, file: RequestFile, key: str) -> Outcome:
        if file.state is FileState.RECEIVING:
            return Outcome.KNOWN
        await self._store.delete(key)
        return Outcome.LATE
