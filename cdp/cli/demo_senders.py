"""The senders of the demonstration: a shop with a campaign, a bank with urgent messages."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from cdp.cli import demo_plan as plan
from cdp.cli import demo_setup as setup
from cdp.cli.api import REPEATED, Api
from cdp.cli.demo_client import Ledger
from cdp.cli.demo_facts import moment_of, reason_of
from cdp.cli.demo_standing import SenderStanding

URGENT_EVERY_S: Final = 0.1
URGENT_AFTER_BATCH: Final = 2
BATCH_TRIES: Final = 10


class Sender:
    """What all have: a key, a campaign, a channel, and a note of all that was accepted."""

    def __init__(
        self, api: Api, *, campaign: str, channel: str, accepted: Ledger, standing: SenderStanding
    ) -> None:
        self.api = api
        self.campaign = campaign
        self.channel = channel
        self.standing = standing
        self.expected = plan.Expected()
        self.accepted_at: dict[str, float | None] = {}
        """The ids that were answered 202, with the time where the answer says it."""
        self.batches: list[str] = []
        """Whose books tell how far it is."""
        self.refusals: Counter[str] = Counter()
        """The reasons that were given, with the field each is about."""
        self._ledger = accepted

    async def put_templates(self, templates: Mapping[str, setup.Contents]) -> None:
        """Put the templates of these names."""
        for name, contents in templates.items():
            await self.api.put(f"/templates/{name}", contents)

    def _accept(self, ids: dict[str, float | None]) -> None:
        self.accepted_at |= ids
        self.standing.accepted += len(ids)
        self._ledger.note({"id": accepted_id} for accepted_id in ids)


class Shop(Sender):
    """Posts one channel of the campaign in batches."""

    def __init__(
        self, api: Api, *, campaign: str, channel: str, accepted: Ledger, standing: SenderStanding
    ) -> None:
        super().__init__(
            api, campaign=campaign, channel=channel, accepted=accepted, standing=standing
        )
        self.in_the_middle = asyncio.Event()
        """Set when the campaign is under way."""
        self.began_at = self.ended_at = time.time()

    async def set_up(self, folder: Path) -> None:
        """Put templates, segments and assignments, and start the campaign."""
        await self.put_templates(setup.shop_templates(folder))
        for name, description in setup.SEGMENTS.items():
            await self.api.put(f"/segments/{name}", {"description": description})
        for segment, channel, template in setup.ASSIGNED:
            assigned = {"channel": channel, "campaign": self.campaign, "template": template}
            await self.api.put(f"/segments/{segment}/assignments", assigned)
        await self.api.put(f"/campaigns/{self.campaign}", {"description": setup.DESCRIPTION})
        await self.api.post(f"/campaigns/{self.campaign}/start")

    async def close_campaign(self) -> None:
        """Say that no more comes: it is finished once nothing of it is unfinished."""
        await self.api.post(f"/campaigns/{self.campaign}/close")

    async def post(self, batches: Iterable[plan.Batch]) -> None:
        """Post all of them, with what is broken in them."""
        self.began_at = time.time()
        for batch in batches:
            self.expected += batch.expected
            self.standing.posted += len(batch.items)
            await self._post_one(batch)
            if batch.number == URGENT_AFTER_BATCH:
                self.in_the_middle.set()
        self.ended_at = time.time()
        self.standing.all_posted = True
        self.in_the_middle.set()

    async def _post_one(self, batch: plan.Batch) -> None:
        answer = await self._answered(batch)
        ids = {item["index"]: item["id"] for item in answer["items"] if item["status"] == 202}
        self._accept(dict.fromkeys(ids.values()))
        refused = [item for item in answer["items"] if item["status"] != 202]
        self.standing.rejected += len(refused)
        self.refusals.update(reason_of(item["problem"]) for item in refused)
        self.batches.append(answer["batch_id"])
        if batch.expected.scheduled:
            await self.api.post(f"/communications/{ids[plan.cancellable(batch)]}/cancel")
            self.expected = plan.cancel_one(self.expected)

    async def _answered(self, batch: plan.Batch) -> Any:
        """Until no item is refused for a reason that passes; the key makes repeats harmless."""
        for _ in range(BATCH_TRIES):
            answer = await self.api.post_raw(
                "/communications/batch",
                batch.body,
                content_type=batch.content_type,
                idempotency_key=f"{self.campaign}/{self.channel}/{batch.number}",
            )
            if not any(item["status"] in REPEATED for item in answer["items"]):
                break
            self.api.repeats += 1
            await asyncio.sleep(1.0)
        return answer


class Bank(Sender):
    """Posts one urgent message after the other, at a steady pace."""

    async def post(self, after: asyncio.Event) -> None:
        """Post them, once the other's campaign is under way."""
        await after.wait()
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in range(plan.URGENT):
            await asyncio.sleep(max(0.0, begin + number * URGENT_EVERY_S - loop.time()))
            self.standing.posted += 1
            self.expected += plan.Expected(accepted=1)
            answer = await self.api.post(
                "/communications",
                plan.password_reset(number, campaign=self.campaign),
                idempotency_key=f"{self.campaign}/{number}",
            )
            self._accept({answer["id"]: moment_of(answer["created_at"])})
        self.standing.all_posted = True
