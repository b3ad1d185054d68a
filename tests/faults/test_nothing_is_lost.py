"""Everything is killed once while thousands of messages are on their way, and nothing is lost."""

import asyncio
import contextlib
import logging
import os
import signal
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from tests.platform import Client, Platform
from tests.waiting import eventually

VICTIMS = (
    "ray::QueueShard",
    "ray::DeliveryWorker",
    "ray::DeliveryPool",
    "ray::Scheduler",
    "ray::Supervisor",
    "ray::ServeReplica:api:MessageService",
    "ray::ServeReplica:api:ClientApi",
    "ray::ServeReplica:delivery-tracking",
    "haproxy",
    "mongod --dbpath",
    "cdp.embedded.mailbox",
)


def message(number: int) -> dict[str, object]:
    """One of many: some are refused for a while, some for good, some are for later, some urgent."""
    tag = {0: "+soft1", 1: "+bounce"}.get(number % 50, "")
    body: dict[str, object] = {
        "channel": "email",
        "to": [{"email": f"lost{number}{tag}@example.org"}],
        "content": {"subject": f"Number {number}", "html": "<p>Hello</p>"},
        "priority": "high" if number % 20 == 2 else "normal",
    }
    if number % 10 == 3:
        due = datetime.now(UTC) + timedelta(seconds=5 + number % 20)
        body["send_at"] = due.isoformat()
    return body


class Posting:
    """Callers who post at a steady pace, each repeating with the same key until it is accepted."""

    CALLERS = 10
    PACE_S = 0.05

    def __init__(self, client: Client) -> None:
        self.client = client
        self.numbers = count()
        self.enough = asyncio.Event()
        self.callers = [asyncio.create_task(self._call()) for _ in range(self.CALLERS)]

    async def _call(self) -> None:
        while not self.enough.is_set():
            number = next(self.numbers)
            await self.client.insist(message(number), key=f"lost-{number}", within_s=120)
            # The pace of the load, which ends with it.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.enough.wait(), self.PACE_S)

    async def goes_on(self) -> None:
        """Wait until messages come through again."""
        accepted = len(self.client.accepted)
        await eventually(lambda: len(self.client.accepted) > accepted + 50, within_s=90)

    async def end(self) -> None:
        self.enough.set()
        await asyncio.gather(*self.callers)


@pytest.mark.timeout(420)
async def test_kill_9_of_every_component_in_turn_loses_nothing(platform: Platform, tmp_path):
    client = await platform.client("faults")
    posting = Posting(client)
    await posting.goes_on()

    for victim in VICTIMS:
        await platform.kill(victim)
        await posting.goes_on()
    await platform.mailbox_control("pause")
    for _ in range(3):
        await posting.goes_on()
    await platform.mailbox_control("resume")
    await posting.goes_on()
    await posting.end()
    await platform.settled([client], within_s=180)

    assert len(client.accepted) == len(set(client.accepted)) == next(posting.numbers)
    verification = await platform.verify(client, settled=True, tmp_path=tmp_path)
    assert verification.violations == ()
    assert verification.doubles <= verification.unknown_outcomes
    logging.getLogger(__name__).warning(
        "accepted %d, unknown outcomes %d, doubles %d",
        len(client.accepted),
        verification.unknown_outcomes,
        verification.doubles,
    )


@pytest.mark.timeout(120)
async def test_d7_a_worker_killed_in_mid_send_repeats_only_what_is_unknown(
    platform: Platform, tmp_path
):
    client = await platform.client("mid-send")
    # The mailbox answers these after three seconds: the worker dies between the dot and the answer.
    to = [{"email": f"mid{n}+slow@example.org"} for n in range(4)]
    content = {"subject": "Mid", "text": "Hello"}
    request_id = await client.post({"channel": "email", "to": to, "content": content})

    async def under_way():
        states = [r["status"] for r in (await client.get(request_id))["recipients"]]
        return states.count("sending") > 0

    await eventually(under_way, within_s=15)
    await platform.kill("ray::DeliveryWorker")
    await platform.settled([client], within_s=90)

    body = await client.get(request_id)
    assert {r["status"] for r in body["recipients"]} == {"delivered"}
    verification = await platform.verify(client, settled=True, tmp_path=tmp_path)
    assert verification.violations == ()
    inboxes = [await platform.inbox(r["to"]) for r in body["recipients"]]
    for messages in inboxes:
        assert len({m["message_id"] for m in messages}) == 1


@pytest.mark.timeout(120)
async def test_d6_a_worker_that_was_paused_past_its_lease_makes_no_lasting_lie(
    platform: Platform, tmp_path
):
    client = await platform.client("paused")
    to = [{"email": f"paused{n}+slow@example.org"} for n in range(4)]
    content = {"subject": "Paused", "text": "Hello"}
    request_id = await client.post({"channel": "email", "to": to, "content": content})

    async def under_way():
        states = [r["status"] for r in (await client.get(request_id))["recipients"]]
        return states.count("sending") > 0

    await eventually(under_way, within_s=15)
    workers = platform.pids("ray::DeliveryWorker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        # The lease lapses, and the attempt is unknown.
        async def lapsed():
            events = await client.events(request_id)
            return any(e["details"].get("code") == "worker_lost" for e in events)

        await eventually(lapsed, within_s=40)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    await platform.settled([client], within_s=60)

    verification = await platform.verify(client, settled=True, tmp_path=tmp_path)
    assert verification.violations == ()
