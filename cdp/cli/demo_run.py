"""Runs the demonstration against a platform that is up: two clients, a mailbox, a reader.

It is a client like any other: all that it does goes through the HTTP API, the mailbox's pages
and the tracked links. The campaign is read line by line; what is held in memory are ids and times.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from cdp.cli import demo_plan as plan
from cdp.cli import demo_setup as setup
from cdp.cli.api import Api
from cdp.cli.demo_checks import FINISHED
from cdp.cli.demo_client import Inbox, Ledger
from cdp.cli.demo_drop import Dropper, Gateway
from cdp.cli.demo_facts import (
    CampaignFacts,
    Facts,
    SenderFacts,
    busiest_second,
    campaign_facts,
    was_clicked,
    was_opened,
)
from cdp.cli.demo_senders import Bank, Sender, Shop
from cdp.cli.demo_standing import SenderStanding, Standing
from cdp.cli.demo_watch import BookKeeper, Reader

DEADLINE_S: Final = 180.0
READING_S: Final = 15.0
"""How long the reader may go on when all is delivered."""
ENGAGED_TRIES: Final = 20
ENGAGED_EVERY_S: Final = 0.5
FINISHED_TRIES: Final = 60
FINISHED_EVERY_S: Final = 0.5
SHOW_EVERY_S: Final = 0.25
LOOK_EVERY_S: Final = 1.0
PEOPLE: Final = 5_000
MEMBERS: Final = 397

Show = Callable[[Standing], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the demonstration happens, and as whom."""

    api: str
    mailbox: str
    shop_key: str
    bank_key: str
    run: str
    """Names this run in campaigns and addresses."""
    examples: Path
    gateway: Gateway
    """Where the shop's file is dropped."""
    ledgers: Path
    """The folder that the ledgers are written to."""
    began_at: float
    """When the command was started."""

    @property
    def campaign(self) -> str:
        """The shop's campaign of this run."""
        return f"{setup.SPRING}-{self.run}"

    @property
    def hook(self) -> str:
        """Where the shop's own system takes webhooks."""
        return plan.hook_of(self.mailbox, self.run)

    @property
    def accepted_ledger(self) -> Path:
        """What was answered 202."""
        return self.ledgers / "accepted.ndjson"

    @property
    def delivered_ledger(self) -> Path:
        """What the mailbox got."""
        return self.ledgers / "delivered.ndjson"


async def demonstrate(stage: Stage, show: Show) -> Facts:
    """Do all of it, and find out what came of it."""
    async with aiohttp.ClientSession() as session:
        with Ledger(stage.accepted_ledger) as accepted:
            return await Demonstration(stage, session, accepted).run(show)


class Demonstration:
    """One run."""

    def __init__(self, stage: Stage, session: aiohttp.ClientSession, accepted: Ledger) -> None:
        self._stage = stage
        self._inbox = Inbox(session, base=stage.mailbox)
        self._standing = standing = Standing(
            shop=SenderStanding(planned=PEOPLE),
            webhooks=SenderStanding(planned=MEMBERS),
            bank=SenderStanding(planned=plan.URGENT),
        )

        def api(key: str) -> Api:
            return Api(session, base=stage.api, key=key, patience_s=DEADLINE_S)

        self._shop = Shop(
            api(stage.shop_key),
            campaign=stage.campaign,
            channel="email",
            accepted=accepted,
            standing=standing.shop,
        )
        self._webhooks = Dropper(
            api(stage.shop_key),
            campaign=stage.campaign,
            channel="webhook",
            accepted=accepted,
            standing=standing.webhooks,
            gateway=stage.gateway,
        )
        self._bank = Bank(
            api(stage.bank_key),
            campaign=f"resets-{stage.run}",
            channel="email",
            accepted=accepted,
            standing=standing.bank,
        )
        self._books = BookKeeper([self._shop, self._webhooks], self._bank)
        self._reader = Reader(
            self._inbox,
            shop=self._shop,
            webhooks=self._webhooks,
            bank=self._bank,
            standing=standing,
        )

    @property
    def _senders(self) -> tuple[Sender, ...]:
        return self._shop, self._webhooks, self._bank

    async def run(self, show: Show) -> Facts:
        """Do all of it, and find out what came of it."""
        folder = self._stage.examples / "templates"
        await self._webhooks.open_account()
        await self._shop.set_up(folder)
        await self._bank.put_templates(setup.bank_templates(folder))
        timed_out = await self._until_settled(show)
        await self._webhooks.close_account()
        await self._until_engaged()
        return await self._facts(await self._until_finished(), timed_out=timed_out)

    async def _post_campaign(self) -> None:
        """Post one channel and drop the other beside it, then let nothing more in."""
        stage = self._stage
        people = stage.examples / "spring-campaign.csv"
        emails = plan.email_batches(
            plan.read_people(people), campaign=stage.campaign, run=stage.run, now=datetime.now(UTC)
        )
        webhooks = plan.webhook_file(
            plan.read_people(people), campaign=stage.campaign, url=stage.hook
        )
        await asyncio.gather(self._shop.post(emails), self._webhooks.drop(webhooks))
        await self._shop.close_campaign()

    async def _until_settled(self, show: Show) -> bool:
        """Send, watch and read until nothing is pending; whether the deadline came first."""
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                self._post_campaign(),
                self._bank.post(self._shop.in_the_middle),
                _every(LOOK_EVERY_S, self._books.look),
                _every(LOOK_EVERY_S, self._reader.look),
                self._reader.read_forever(),
            )
        ]
        try:
            timed_out = not await self._settles(show, tasks)
            # The last arrivals are read, too.
            await self._reader.look()
            await self._reader.finish(READING_S)
            show(self._standing)
            return timed_out
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _settles(self, show: Show, tasks: Sequence["asyncio.Future[None]"]) -> bool:
        """Wait for it; whether it came in time."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + DEADLINE_S
        while not self._standing.is_settled and loop.time() < give_up_at:
            self._standing.tick(loop.time())
            show(self._standing)
            await asyncio.sleep(SHOW_EVERY_S)
            for task in tasks:
                if task.done():
                    # Here a refusal comes to light that ended a sender or the reader.
                    task.result()
        return self._standing.is_settled

    async def _until_engaged(self) -> None:
        """The pixel's answer does not wait for the record; wait a little for that here."""
        for _ in range(ENGAGED_TRIES):
            clicked = opened = 0
            async for rows in self._shop.api.pages(
                "/communications", campaign=self._shop.campaign, channel="email", status="delivered"
            ):
                opened += sum(map(was_opened, rows))
                clicked += sum(map(was_clicked, rows))
            if (opened, clicked) == (len(self._reader.opened), len(self._reader.clicked)):
                return
            await asyncio.sleep(ENGAGED_EVERY_S)

    async def _until_finished(self) -> CampaignFacts:
        """The campaign, once the platform has closed its books or has had time enough for it."""
        # Once more: all may have been settled before the first time was answered.
        await self._shop.close_campaign()
        for _ in range(FINISHED_TRIES):
            view = await self._shop.api.get(f"/campaigns/{self._shop.campaign}")
            # The books are counted now and then: those of a moment ago may be shown.
            if view["state"] == FINISHED and not view["counts"]["pending"]:
                break
            await asyncio.sleep(FINISHED_EVERY_S)
        return campaign_facts(view)

    async def _facts(self, campaign: CampaignFacts, *, timed_out: bool) -> Facts:
        arrivals, doubles, strays = await self._arrivals()
        shop, webhooks, bank = [await self._sender_facts(s, arrivals) for s in self._senders]
        webhooks.strays = strays
        ours = arrivals.values()
        example = shop.example or bank.example
        return Facts(
            shop=shop,
            webhooks=webhooks,
            bank=bank,
            campaign=campaign,
            began_at=self._stage.began_at,
            posting_began_at=self._shop.began_at,
            posting_ended_at=self._shop.ended_at,
            first_arrival_at=min(ours, default=None),
            last_arrival_at=max(ours, default=None),
            busiest_per_s=busiest_second(ours),
            doubles=doubles,
            opened=len(self._reader.opened),
            clicked=len(self._reader.clicked),
            follow_failed=self._standing.follow_failed,
            repeats=sum(sender.api.repeats for sender in self._senders),
            timed_out=timed_out,
            example=example,
            timeline=await self._timeline(self._shop if shop.example else self._bank, example),
        )

    async def _arrivals(self) -> tuple[dict[str, float], int, int]:
        """When each of our messages arrived, how many came once more, and how many are strange.

        All that the mailbox got under a name of its sender's goes into the ledger: the audit is
        about everything that was sent. Strange is what came to the hook of this run alone.
        """
        arrivals: dict[str, float] = {}
        doubles = strays = 0
        with Ledger(self._stage.delivered_ledger) as ledger:
            async for mails in self._inbox.pages():
                ledger.note(
                    {"message_id": mail.message_id, "recipient": mail.recipient}
                    for mail in mails
                    if mail.is_named
                )
                for mail in mails:
                    if self._is_ours(mail.result_id):
                        doubles += mail.result_id in arrivals
                        # The pages go back in time: the first arrival is the one that stays.
                        arrivals[mail.result_id] = mail.received_at
                    else:
                        strays += mail.recipient == self._stage.hook
        return arrivals, doubles, strays

    def _is_ours(self, result_id: str) -> bool:
        return any(result_id in sender.accepted_at for sender in self._senders)

    async def _sender_facts(self, sender: Sender, arrivals: dict[str, float]) -> SenderFacts:
        facts = SenderFacts(
            channel=sender.channel,
            expected=sender.expected,
            accepted=sender.standing.accepted,
            rejected=sender.standing.rejected,
            refusals=sender.refusals,
        )
        async for rows in sender.api.pages(
            "/communications", campaign=sender.campaign, channel=sender.channel
        ):
            for row in rows:
                facts.add(row, arrivals.get(row["id"]))
        return facts

    async def _timeline(self, sender: Sender, example: str | None) -> list[dict[str, Any]]:
        if example is None:
            return []
        answer = await sender.api.get(f"/communications/{example}/events")
        events: list[dict[str, Any]] = answer["items"]
        return events


async def _every(seconds: float, look: Callable[[], Awaitable[None]]) -> None:
    while True:
        await look()
        await asyncio.sleep(seconds)
