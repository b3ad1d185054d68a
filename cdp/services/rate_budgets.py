"""The budgets of one channel, kept by its delivery pool and shared by its workers.

A budget is stored as spent a slice ahead of what it is: so MongoDB is asked once in a slice, and
whoever takes over after a crash gives less for that long, never more.
"""

import asyncio
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from cdp.domain.ids import EPOCH
from cdp.domain.rate_budget import Grant, RateBook, Want
from cdp.ports.clock import Clock
from cdp.storage.budgets import SpentBudgets

SLICE_S: Final = 1.0
KEYS_MAX: Final = 10_000
"""With more, those are forgotten that are full."""


class RateBudgets:
    """`Budgets`, where they are kept."""

    def __init__(self, *, channel: str, spent: SpentBudgets, clock: Clock) -> None:
        self._channel = channel
        self._spent = spent
        self._clock = clock
        self._book = RateBook()
        self._stored_to: dict[str, float] = {}
        self._turn = asyncio.Lock()

    async def spend(self, wants: Sequence[Want]) -> list[Grant]:
        """See `Budgets`."""
        keys = {limit.key for want in wants for limit in want.limits}
        async with self._turn:
            await self._learn(keys)
            now = self._clock.now().timestamp()
            grants = [self._book.spend(want, now) for want in wants]
            await self._store(keys)
        return grants

    async def _learn(self, keys: set[str]) -> None:
        if len(self._book) > KEYS_MAX:
            self._book.forget_idle(self._clock.now().timestamp())
            gone = self._book.unknown(self._stored_to)
            self._stored_to = {k: to for k, to in self._stored_to.items() if k not in gone}
        unknown = self._book.unknown(keys)
        if unknown:
            stored = await self._spent.spent_to(self._channel, unknown)
            found = {key: stored[key].timestamp() if key in stored else 0.0 for key in unknown}
            self._book.learn(found)
            self._stored_to |= found

    async def _store(self, keys: set[str]) -> None:
        """Before anybody is told: what is spent and not stored could be spent again."""
        ahead = {
            # In the whole milliseconds that MongoDB keeps, and no less.
            key: math.ceil((spent_to + SLICE_S) * 1_000)
            for key in keys
            if (spent_to := self._book.spent_to(key)) > self._stored_to[key]
        }
        if ahead:
            moments = {key: EPOCH + timedelta(milliseconds=to) for key, to in ahead.items()}
            await self._spent.save(self._channel, moments)
            self._stored_to |= {key: to / 1_000 for key, to in ahead.items()}

    @property
    def count(self) -> int:
        """Budgets that are in memory."""
        return len(self._book)
