"""What a process knows of campaigns: never more than half a second old while it looks.

Every shard and every worker has one. It loads what there is before it takes work, then reads only
what has changed, by its number. What it has applied it tells; a pause is in force once all have.
"""

import asyncio
from typing import Final

from cdp.domain.campaign import CampaignRoster
from cdp.storage.campaigns import Campaigns

LOOK_S: Final = 0.5
"""How often a process looks for changes."""
PAGE: Final = 1_000


class CampaignWatch:
    """Keeps a `CampaignRoster` up to date."""

    def __init__(self, *, campaigns: Campaigns) -> None:
        self._campaigns = campaigns
        self._turn = asyncio.Lock()
        self._loaded = asyncio.Event()
        self.roster = CampaignRoster()
        self.applied = 0
        """The number of the last change that the roster has; all before it are in it."""

    @property
    def is_loaded(self) -> bool:
        """Whether it knows what there is; before, nobody may decide by it."""
        return self._loaded.is_set()

    async def loaded(self) -> None:
        """Wait until it knows what there is."""
        await self._loaded.wait()

    async def refresh(self) -> int:
        """Take in what has changed; the number of the last change.

        It begins after it was called, so it sees every change that was durable before.

        Raises:
            OutcomeUnknown: MongoDB could not be asked; what is known stays.
        """
        async with self._turn:
            if not self._loaded.is_set():
                # First the number: what changes while the rest is read has a higher one.
                newest = await self._campaigns.newest_epoch()
                await self._load()
                self.applied = newest
                self._loaded.set()
            while await self._take_changes() == PAGE:
                continue
            return self.applied

    async def _load(self) -> None:
        after = 0
        while page := await self._campaigns.unsettled_across_clients(after=after, limit=PAGE):
            self.roster.take(page)
            after = page[-1].epoch

    async def _take_changes(self) -> int:
        changed = await self._campaigns.changed_across_clients(after=self.applied, limit=PAGE)
        if changed:
            self.roster.take(changed)
            self.applied = changed[-1].epoch
        return len(changed)
