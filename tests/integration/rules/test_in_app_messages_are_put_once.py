"""What every provider must do, by the one for inboxes on a real MongoDB: each message has one
outcome, a repeat makes no second entry, and an outage is no loss.
"""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from cdp.domain.inbox import InboxUser
from cdp.ports.provider import Accepted, FailureClass, InAppMessage, ProviderTools, Rejected
from cdp.providers.in_app.inbox import BATCH_MAX
from cdp.providers.registry import load
from cdp.storage.inbox import InboxEntries
from tests.integration.verification_world import new_id


class Reports:
    """The outcome of each message; a second one for the same is a fault."""

    def __init__(self):
        self.outcomes = {}

    def __call__(self, message, outcome):
        assert message.key not in self.outcomes
        self.outcomes[message.key] = outcome


class Side:
    """The provider as a worker has it, and the inbox behind it as its user sees it."""

    def __init__(self, wiring, client_id):
        self.clock = wiring.clock
        self.client_id = client_id
        self.inbox = InboxEntries(wiring.database)
        adapter = load("in_app.inbox")
        tools = ProviderTools(clock=wiring.clock, inbox=self.inbox)
        self.provider = adapter.open(adapter.Settings(), tools)

    def message(self, **fields):
        given: dict[str, Any] = {"result_id": new_id(), "attempt": 1, "user": "ada"}
        given |= {"title": "Hi", "body": "There", "client_id": self.client_id}
        return InAppMessage(**(given | fields))

    async def delivered(self, *messages):
        reports = Reports()
        await self.provider.deliver(messages, reports)
        return [reports.outcomes[message.key] for message in messages]

    async def entries(self, user="ada"):
        return await self.inbox.page(
            InboxUser(client_id=self.client_id, user=user),
            unread=False, archived=False, before=None, limit=5_000, now=self.clock.now(),
        )  # fmt: skip


@pytest.fixture
async def side(rig):
    wiring = rig.process("worker")
    return Side(wiring, (await rig.client(wiring)).id)


UNAVAILABLE = Rejected(failure=FailureClass.TRANSIENT, code="inbox_unavailable")


async def test_a_message_arrives_whole(side):
    expires_at = side.clock.now() + timedelta(hours=1)
    message = side.message(
        action_url="/orders/7", action_label="Look", data={"order": 7}, expires_at=expires_at
    )

    [outcome] = await side.delivered(message)

    [entry] = await side.entries()
    assert isinstance(outcome, Accepted)
    assert (entry.result_id, entry.title, entry.body) == (message.result_id, "Hi", "There")
    assert (entry.action_url, entry.action_label) == ("/orders/7", "Look")
    assert (dict(entry.data), entry.expires_at) == ({"order": 7}, expires_at)


async def test_more_than_a_batch_arrive_each_once_and_each_at_its_user(side):
    messages = [side.message(user=f"user-{n % 3}") for n in range(BATCH_MAX + 500)]

    outcomes = await side.delivered(*messages)

    assert Counter(map(type, outcomes)) == {Accepted: BATCH_MAX + 500}
    assert [len(await side.entries(f"user-{n}")) for n in range(3)] == [500] * 3


async def test_a_repeated_attempt_is_accepted_and_makes_no_second_entry(side):
    message, fresh = side.message(), side.message(title="fresh")
    await side.delivered(message)

    outcomes = await side.delivered(side.message(result_id=message.result_id, attempt=2), fresh)

    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]
    assert sorted(e.title for e in await side.entries()) == ["Hi", "fresh"]


async def test_two_workers_with_the_same_message_make_one_entry(side):
    message = side.message()

    both = await asyncio.gather(side.delivered(message), side.delivered(message))

    assert [type(outcome) for [outcome] in both] == [Accepted, Accepted]
    assert len(await side.entries()) == 1


async def test_an_answer_that_is_lost_is_read_back(rig, side):
    # The first insert is applied and its answer lost; so is every repeat of it.
    cut = {"closeConnection": True}
    async with rig.failing(["insert"], app="worker", mode={"skip": 1}, **cut):
        await rig.failpoint("onPrimaryTransactionalWrite", {"times": 1}, cut)
        [outcome] = await side.delivered(side.message())

    assert isinstance(outcome, Accepted)
    assert len(await side.entries()) == 1


async def test_an_answer_that_stays_lost_is_no_entry_too_many(rig, side):
    message, cut = side.message(), {"closeConnection": True}
    async with rig.failing(["insert", "find"], app="worker", mode={"skip": 1}, **cut):
        await rig.failpoint("onPrimaryTransactionalWrite", {"times": 1}, cut)
        [outcome] = await side.delivered(message)

    assert outcome == UNAVAILABLE
    assert len(await side.entries()) == 1
    assert await side.delivered(message) == [Accepted(answer="in the inbox")]
    assert len(await side.entries()) == 1


async def test_an_outage_is_transient_and_the_next_attempt_makes_one_entry(rig, side):
    messages = [side.message() for _ in range(3)]
    async with rig.failing(["insert", "find"], app="worker", closeConnection=True):
        refused = await side.delivered(*messages)

    accepted = await side.delivered(*messages)

    assert refused == [UNAVAILABLE] * 3
    assert [type(outcome) for outcome in accepted] == [Accepted] * 3
    assert len(await side.entries()) == 3


async def test_whose_time_is_over_is_not_put_and_the_others_are(side):
    late, fit = side.message(deadline_s=0.0), side.message(title="fit")

    refused, accepted = await side.delivered(late, fit)

    assert isinstance(refused, Rejected)
    assert (refused.failure, type(accepted)) == (FailureClass.TRANSIENT, Accepted)
    assert [e.title for e in await side.entries()] == ["fit"]


async def test_no_message_is_no_trouble(side):
    assert await side.delivered() == []
    await side.provider.close()
