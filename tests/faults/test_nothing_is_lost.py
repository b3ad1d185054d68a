"""Everything is killed once while thousands of messages are on their way, and nothing is lost."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.platform import Client, Platform
from tests.waiting import eventually

MESSAGES = 3_000
BATCH = 100

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


def message(number: int) -> dict:
    """One of many: some are refused for a while, some for good, some are for later, some urgent."""
    tag = {0: "+soft1", 1: "+bounce"}.get(number % 50, "")
    body = {
        "channel": "email",
        "to": [{"email": f"lost{number}{tag}@example.org"}],
        "content": {"subject": f"Number {number}", "html": "<p>Hello</p>"},
        "priority": "high" if number % 20 == 2 else "normal",
    }
    if number % 10 == 3:
        due = datetime.now(UTC) + timedelta(seconds=5 + number % 20)
        body["send_at"] = due.isoformat()
    return body


async def post_all(client: Client, numbers: range) -> None:
    """As a caller who repeats with the same key until it is accepted."""
    for number in numbers:
        await client.insist(message(number), key=f"lost-{number}", within_s=120)


async def posted(client: Client, messages: int) -> list[asyncio.Task]:
    share = messages // 10
    ranges = [range(start, start + share) for start in range(0, messages, share)]
    return [asyncio.create_task(post_all(client, numbers)) for numbers in ranges]


@pytest.mark.timeout(420)
async def test_kill_9_of_every_component_in_turn_loses_nothing(platform: Platform, tmp_path):
    client = await platform.client("faults")
    posting = await posted(client, MESSAGES)

    for victim in VICTIMS:
        accepted = len(client.accepted)
        await platform.kill(victim)
        # Each is killed under load: the next only when messages come through again.
        if not all(task.done() for task in posting):
            await eventually(lambda a=accepted: len(client.accepted) > a + 20, within_s=90)
    await platform.mailbox_control("pause")
    await asyncio.gather(*posting)
    await platform.mailbox_control("resume")
    await platform.settled([client], within_s=180)

    assert len(set(client.accepted)) == MESSAGES
    verification = await platform.verify(client, settled=True, tmp_path=tmp_path)
    assert verification.violations == ()
    assert verification.doubles <= verification.unknown_outcomes


@pytest.mark.timeout(120)
async def test_d7_a_worker_killed_in_mid_send_repeats_only_what_is_unknown(
    platform: Platform, tmp_path
):
    client = await platform.client("mid-send")
    # The mailbox answers these after two seconds: the worker dies between the dot and the answer.
    to = [{"email": f"mid{n}+slow@example.org"} for n in range(20)]
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
    to = [{"email": f"paused{n}+slow@example.org"} for n in range(10)]
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
