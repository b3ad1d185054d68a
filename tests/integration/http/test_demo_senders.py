"""The demonstration's shop at the real API: what it sets up is taken, what it posts as planned."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cdp.cli import demo_plan as plan
from cdp.cli import demo_setup as setup
from cdp.cli.api import Api as ApiClient
from cdp.cli.demo_client import Ledger
from cdp.cli.demo_senders import Shop
from cdp.cli.demo_standing import SenderStanding

EXAMPLES = Path(__file__).parents[3] / "examples"
CAMPAIGN = "spring-r1"
PEOPLE = 700


@pytest.fixture
def shops(tenant, session, tmp_path):
    """The same shop once for each channel of its campaign."""
    client = ApiClient(session, base=tenant.base, key=tenant.key)
    with Ledger(tmp_path / "accepted.ndjson") as ledger:
        yield [
            Shop(
                client,
                campaign=CAMPAIGN,
                channel=channel,
                accepted=ledger,
                standing=SenderStanding(planned=PEOPLE),
            )
            for channel in ("email", "webhook")
        ]


async def test_the_shop_sets_up_its_campaign_and_posts_it_as_planned(tenant, shops):
    emails, webhooks = shops
    file = EXAMPLES / "spring-campaign.csv"
    people = list(itertools.islice(plan.read_people(file), PEOPLE))

    await emails.set_up(EXAMPLES / "templates")
    now = datetime.now(UTC)
    await emails.post(plan.email_batches(people, campaign=CAMPAIGN, run="r1", now=now))
    url = plan.hook_of("http://127.0.0.1:8025/", "r1")
    await webhooks.post(plan.webhook_batches(people, campaign=CAMPAIGN, url=url))
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


async def test_a_segment_that_gets_nothing_is_refused_by_its_name(tenant, shops):
    emails, _ = shops
    await emails.set_up(EXAMPLES / "templates")
    [person] = itertools.islice(plan.read_people(EXAMPLES / "spring-campaign.csv"), 1)
    item = plan.email_item(person, campaign=CAMPAIGN, run="r1") | {"segment": "strangers"}

    answer = await tenant.post("/communications", item)

    assert answer.status == 422
    assert answer.pointers == {"/segment": "unassigned"}
