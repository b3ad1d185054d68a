"""Those who look at the demonstration from outside: at the books, and into the mailbox."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cdp.cli import demo_plan as plan
from cdp.cli.demo_client import Inbox, Mail
from cdp.cli.demo_senders import Bank, Sender, Shop
from cdp.cli.demo_standing import STATES, Standing

OVERLAP_S: Final = 2.0
"""A message is listed a moment after the time of its receipt."""
READERS: Final = 4
READS_AFTER_S: Final = 4.0
"""Nobody opens a message sooner, and what does is called a machine (`cdp.domain.visit`)."""


class BookKeeper:
    """Asks the API how far the messages are."""

    def __init__(self, shops: Sequence[Sender], bank: Bank) -> None:
        self._shops = shops
        self._bank = bank
        self._counts: dict[str, Mapping[str, Any]] = {}

    async def look(self) -> None:
        """Ask once: by batch for the shop, by the list for the bank."""
        for shop in self._shops:
            batches = list(shop.batches)
            for batch_id in batches:
                # What is settled does not change any more.
                if self._counts.get(batch_id, {"pending": 1})["pending"]:
                    view = await shop.api.get(f"/batches/{batch_id}")
                    self._counts[batch_id] = view["counts"]
            shop.standing.count(self._counts[batch_id] for batch_id in batches)
        states = dict.fromkeys(STATES, 0)
        async for rows in self._bank.api.pages("/communications", campaign=self._bank.campaign):
            for row in rows:
                if row["status"] in states:
                    states[row["status"]] += 1
        self._bank.standing.states = states


class Reader:
    """Sees what arrives, opens some of it and follows some links."""

    def __init__(
        self, inbox: Inbox, *, shop: Shop, webhooks: Sender, bank: Bank, standing: Standing
    ) -> None:
        self._inbox = inbox
        self._shop = shop
        self._webhooks = webhooks
        self._bank = bank
        self._standing = standing
        self._began_at = time.time()
        self._seen_until = self._began_at
        self._seen: set[str] = set()
        self._strange: dict[str, Mail] = {}
        """Arrived, and nobody has been told yet that it was accepted; or it is none of ours."""
        self._to_read: asyncio.Queue[Mail] = asyncio.Queue()
        self.opened: set[str] = set()
        self.clicked: set[str] = set()

    async def look(self) -> None:
        """See what is new in the mailbox, and choose what to read."""
        for mail in await self._inbox.newest(since=self._seen_until - OVERLAP_S):
            self._seen_until = max(self._seen_until, mail.received_at)
            if mail.result_id not in self._seen and mail.received_at >= self._began_at:
                self._strange[mail.result_id] = mail
        for result_id, mail in list(self._strange.items()):
            if self._claim(mail):
                del self._strange[result_id]
                self._seen.add(result_id)

    def _claim(self, mail: Mail) -> bool:
        """Note a message of one of the senders; False of anybody else's."""
        if mail.result_id in self._webhooks.accepted_at:
            self._standing.webhooks.arrived += 1
        elif mail.result_id in self._shop.accepted_at:
            self._standing.shop.arrived += 1
            if plan.opens(mail.result_id):
                self._to_read.put_nowait(mail)
                self._standing.to_read += 1
        elif mail.result_id in self._bank.accepted_at:
            self._standing.bank.arrived += 1
            accepted_at = self._bank.accepted_at[mail.result_id]
            if accepted_at is not None:
                self._standing.urgent_s.append(mail.received_at - accepted_at)
        else:
            return False
        return True

    async def read_forever(self) -> None:
        """Read what was chosen, until cancelled."""
        await asyncio.gather(*(self._read() for _ in range(READERS)))

    async def finish(self, within_s: float) -> None:
        """Wait until all that was chosen has been read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._to_read.join()

    async def _read(self) -> None:
        while True:
            mail = await self._to_read.get()
            await asyncio.sleep(max(0.0, mail.received_at + READS_AFTER_S - time.time()))
            try:
                await self._read_one(mail)
            finally:
                self._standing.to_read -= 1
                self._to_read.task_done()

    async def _read_one(self, mail: Mail) -> None:
        message = await self._inbox.open(mail)
        if message.pixel is None or not await self._inbox.follow(message.pixel):
            self._standing.follow_failed += 1
            return
        self.opened.add(mail.result_id)
        self._standing.opened += 1
        if not plan.clicks(mail.result_id):
            return
        if not message.links or not await self._inbox.follow(
            plan.link_to_click(mail.result_id, message.links)
        ):
            self._standing.follow_failed += 1
            return
        self.clicked.add(mail.result_id)
        self._standing.clicked += 1
