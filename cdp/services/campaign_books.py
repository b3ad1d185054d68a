"""The books of a campaign: what was accepted for it, and what has become of that.

Counted from an index and all at one moment: a million results take some 0.4 s of MongoDB. So that
nobody who looks often keeps it busy, what was counted counts for ten times as long as it took.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cdp.domain.campaign import CampaignKey, Reached
from cdp.domain.event import Status
from cdp.ports.clock import Clock
from cdp.services.communication_reading import FINAL_STATES, Books
from cdp.storage.campaign_results import CampaignCounts, CampaignResults

REST: Final = 10
"""Times as long as the counting took it is not done again."""
KEPT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignBooks:
    """The books as they were at one moment."""

    books: Books
    reached: Reached
    counted_at: datetime


@dataclass(slots=True, kw_only=True)
class _Kept:
    books: CampaignBooks
    until: float


class CampaignAccounts:
    """Counts campaigns, each seldom."""

    def __init__(self, *, results: CampaignResults, clock: Clock) -> None:
        self._results = results
        self._clock = clock
        self._kept: dict[CampaignKey, _Kept] = {}
        self._counting: dict[CampaignKey, asyncio.Lock] = {}

    async def books(self, key: CampaignKey) -> CampaignBooks:
        """The books of a campaign, as of now or as they were lately."""
        turn = self._counting.setdefault(key, asyncio.Lock())
        try:
            async with turn:
                kept = self._kept.get(key)
                if kept is None or kept.until <= self._clock.monotonic():
                    kept = await self._counted(key)
                return kept.books
        finally:
            if not turn.locked():
                self._counting.pop(key, None)

    async def _counted(self, key: CampaignKey) -> _Kept:
        at, begun = self._clock.now(), self._clock.monotonic()
        counts = await self._results.counts(key)
        ended = self._clock.monotonic()
        books = CampaignBooks(books=books_of(counts), reached=reached(counts), counted_at=at)
        kept = _Kept(books=books, until=ended + REST * (ended - begun))
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[key] = kept
        return kept


def books_of(counts: CampaignCounts) -> Books:
    """What the counts say, in the books' words."""
    at = counts.by_status
    return Books(
        by_state={status.value: at[status] for status in FINAL_STATES},
        pending_by={
            "held": counts.held,
            "scheduled": at[Status.SCHEDULED] - counts.held - counts.retrying,
            "waiting": at[Status.ACCEPTED] + at[Status.RENDERED],
            "in_flight": at[Status.QUEUED] + at[Status.SENDING],
            "retrying": at[Status.FAILED] + counts.retrying,
        },
    )


def reached(counts: CampaignCounts) -> Reached:
    """What a campaign's rates are made of. Nothing tells of complaints yet, so there are none."""
    return Reached(delivered=counts.by_status[Status.DELIVERED], bounced=counts.bounced)
