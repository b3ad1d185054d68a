"""The demonstration's shop at the real API: what it sets up is taken, what it posts as planned."""

import asyncio
import itertools
import os
from datetime import UTC, datetime
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from cdp.cli import demo_plan as plan
from cdp.cli import demo_setup as setup
from cdp.cli.api import Api as ApiClient
from cdp.cli.demo_client import Ledger
from cdp.cli.demo_drop import Dropper, Gateway
from cdp.cli.demo_senders import Shop
from cdp.cli.demo_standing import SenderStanding
from cdp.sftp.gateway import SftpGateway
from cdp.sftp.outputs import FileReaders
from cdp.sftp.spool import Spool
from cdp.telemetry import Telemetry
from tests.integration.http.file_services import file_ingestion_of
from tests.waiting import eventually

EXAMPLES = Path(__file__).parents[3] / "examples"
CAMPAIGN = "spring-r1"
PEOPLE = 700


@pytest_asyncio.fixture
async def gateway(api, tmp_path):
    """The SFTP gateway beside the API, and somebody who works on its files."""
    services, key = api.services, asyncssh.generate_private_key("ssh-ed25519")
    gateway = SftpGateway(
        accounts=services.sftp_accounts,
        files=services.files,
        readers=FileReaders(
            source=lambda file: api.store.read(file.key),
            results=services.file_outputs.results,
            rejects=services.file_outputs.rejects,
        ),
        spool=Spool(tmp_path / "spool", clock=services.clock, random_bytes=os.urandom),
        host_key=key.export_private_key().decode(),
        clock=services.clock,
        telemetry=Telemetry(),
    )
    port = await gateway.start("127.0.0.1", 0)
    working = asyncio.create_task(work_forever(api))
    yield Gateway.of("127.0.0.1", port, key.export_private_key().decode())
    working.cancel()
    await gateway.stop()


async def work_forever(api):
    ingestion = file_ingestion_of(api.services, api.database, api.store)
    while True:
        await eventually(ingestion.step, within_s=60)


@pytest.fixture
def shops(tenant, session, gateway, tmp_path):
    """The shop with its emails, and with its webhooks."""
    client = ApiClient(session, base=tenant.base, key=tenant.key)
    with Ledger(tmp_path / "accepted.ndjson") as ledger:
        yield (
            Shop(
                client,
                campaign=CAMPAIGN,
                channel="email",
                accepted=ledger,
                standing=SenderStanding(planned=PEOPLE),
            ),
            Dropper(
                client,
                campaign=CAMPAIGN,
                channel="webhook",
                accepted=ledger,
                standing=SenderStanding(planned=PEOPLE),
                gateway=gateway,
            ),
        )


async def test_the_shop_sets_up_its_campaign_and_posts_it_as_planned(tenant, shops):
    emails, webhooks = shops
    file = EXAMPLES / "spring-campaign.csv"
    people = list(itertools.islice(plan.read_people(file), PEOPLE))

    await webhooks.open_account()
    await emails.set_up(EXAMPLES / "templates")
    now = datetime.now(UTC)
    await emails.post(plan.email_batches(people, campaign=CAMPAIGN, run="r1", now=now))
    url = plan.hook_of("http://127.0.0.1:8025/", "r1")
    await webhooks.drop(plan.webhook_file(people, campaign=CAMPAIGN, url=url))
    await webhooks.close_account()
    await emails.close_campaign()
    await emails.close_campaign()

    view = (await tenant.get(f"/campaigns/{CAMPAIGN}")).json
    assert (view["state"], view["closed"]) == ("running", True)
    assigned = {(p["segment"], p["channel"], p["template"]) for p in view["permutations"]}
    assert assigned == set(setup.ASSIGNED)
    for shop in shops:
        assert shop.standing.accepted == shop.expected.accepted == len(shop.accepted_at)
        assert shop.standing.rejected == shop.expected.rejected
    assert view["counts"]["accepted"] == sum(len(shop.accepted_at) for shop in shops)
    assert view["counts"]["cancelled"] == emails.expected.cancelled == 1
    assert len(webhooks.accepted_at) == sum(person["plan"] == "premium" for person in people)
    assert sum(webhooks.refusals.values()) == webhooks.expected.rejected == 2
    assert (await tenant.get("/sftp-accounts")).json["items"] == []


async def test_a_segment_that_gets_nothing_is_refused_by_its_name(tenant, shops):
    emails, _ = shops
    await emails.set_up(EXAMPLES / "templates")
    [person] = itertools.islice(plan.read_people(EXAMPLES / "spring-campaign.csv"), 1)
    item = plan.email_item(person, campaign=CAMPAIGN, run="r1") | {"segment": "strangers"}

    answer = await tenant.post("/communications", item)

    assert answer.status == 422
    assert answer.pointers == {"/segment": "unassigned"}
