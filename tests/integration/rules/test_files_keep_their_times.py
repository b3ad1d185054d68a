"""Rows are sent when they say, and as their campaign is spread, as what came by the API is."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from cdp.domain.campaign import CampaignAct
from cdp.domain.delivery_result import WorkItem
from cdp.domain.event import Status
from cdp.domain.request_file import FileState, RequestFile
from cdp.wiring import Wiring
from tests.integration.rules.campaign_rig import SPRING, act, make_campaign, reasons
from tests.integration.rules.file_rig import OPTIONS, people, sent, shop, worked
from tests.integration.rules.little_shard import LittleShard
from tests.integration.rules.rig import as_stored, events_of, smtp_provider, statuses
from tests.waiting import eventually

LATE_S = 6
"""Time enough for a busy machine to do before what is to be done before."""


@pytest.fixture
async def parts(rig, smtp):
    """The API and the ingestion, a shard with its worker, and a client."""
    api, wiring, worker = (rig.process(name) for name in ("api", "shard", "worker"))
    client = await shop(rig, api)
    shard = LittleShard(wiring, rig.worker(worker, smtp_provider(smtp)))
    await shard.own_all()
    return api, shard, client


async def items_of(wiring: Wiring, file: RequestFile) -> list[WorkItem]:
    """What its rows became, in their order."""
    outputs = wiring.file_outputs()
    ids = [outputs.result_id(file, n) for n in range(1, file.checkpoint.counts.rows + 1)]
    stored = await wiring.results.items_across_clients(ids)
    return [stored[result_id] for result_id in ids]


def recipients(smtp: Any) -> set[str]:
    return {message.recipients[0] for message in smtp.messages}


def timed(at: datetime) -> bytes:
    lines = ["email,city,send_at"]
    for n in range(1, 31):
        when = at.isoformat() if n % 2 == 0 else ""
        lines.append(f"p{n}@example.org,Lyon,{when}")
    return "\n".join(lines).encode()


async def test_rows_with_a_time_wait_until_then_and_the_others_do_not(rig, smtp, parts):
    api, shard, client = parts
    at = api.clock.now() + timedelta(seconds=LATE_S)
    file = await worked(api, await sent(api, client, timed(at)))
    assert file.state is FileState.DONE
    items = await items_of(api, file)
    now, later = items[::2], items[1::2]

    await shard.settle(now)

    assert recipients(smtp) == {f"p{n}@example.org" for n in range(1, 31, 2)}
    assert api.clock.now() < at
    assert await statuses(api, later) == {Status.SCHEDULED: 15}
    assert {(await as_stored(api, item)).due_at for item in later} == {at}
    await shard.settle(later)
    assert len(smtp.messages) == 30
    assert api.clock.now() >= at
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_time_of_the_whole_file_is_that_of_rows_that_say_none(rig, smtp, parts):
    api, shard, client = parts
    at, whole = (api.clock.now() + timedelta(days=days) for days in (1, 2))
    options = OPTIONS | {"send_at": whole}
    file = await worked(api, await sent(api, client, timed(at), options=options))

    items = await items_of(api, file)
    await shard.step()

    assert [(await as_stored(api, item)).due_at for item in items[:4]] == [whole, at, whole, at]
    assert smtp.messages == []


async def test_a_file_of_a_campaign_that_is_spread_is_spread_over_its_window(rig, smtp, parts):
    api, shard, client = parts
    await make_campaign(api, client.id, spread_s=LATE_S)
    running = await act(api, client.id, CampaignAct.START)
    options = OPTIONS | {"campaign": SPRING}
    file = await worked(api, await sent(api, client, people(60), options=options))
    items = await items_of(api, file)

    await shard.step()
    dues = [(await as_stored(api, item)).due_at for item in items]

    assert running.started_at is not None
    assert all(due <= running.started_at + timedelta(seconds=LATE_S) for due in dues)
    assert len(set(dues)) > 10
    await shard.settle(items)
    assert len(smtp.messages) == 60
    # Each row waited for its own time, or that had come when it was looked at.
    seen = {reason for item in items for reason in reasons(await events_of(api, item))}
    assert seen == {"spread"}
    assert (await rig.verify(settled=True)).violations == ()


async def test_a_file_that_comes_before_its_campaign_starts_is_held_and_then_spread(
    rig, smtp, parts
):
    api, shard, client = parts
    await make_campaign(api, client.id, spread_s=LATE_S)
    options = OPTIONS | {"campaign": SPRING}
    file = await worked(api, await sent(api, client, people(40), options=options))
    items = await items_of(api, file)

    async def held() -> bool:
        await shard.step()
        return {(await as_stored(api, item)).reason for item in items} == {"campaign_held"}

    await eventually(held, within_s=10)
    assert smtp.messages == []
    running = await act(api, client.id, CampaignAct.START)
    await shard.settle(items)

    assert running.started_at is not None
    assert len(smtp.messages) == 40
    assert api.clock.now() >= running.started_at + timedelta(seconds=LATE_S / 2)
    assert (await rig.verify(settled=True)).violations == ()
