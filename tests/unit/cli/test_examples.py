"""The example files: made by their generator, and fit for each other."""

import csv
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cdp.channels.email import normalise
from cdp.channels.webhook import finish
from cdp.cli import demo_plan as plan
from cdp.cli import demo_setup as setup
from cdp.ports.renderer import Rendered, RenderItem, TemplateSource
from cdp.rendering.links import links_in
from cdp.rendering.sandbox import SandboxedRenderer
from examples import make_campaign

EXAMPLES = Path(make_campaign.__file__).parent
SIZE_MAX = 900_000
SAMPLE = 50


@pytest.fixture
async def renderer() -> AsyncIterator[SandboxedRenderer]:
    made = SandboxedRenderer(children=1)
    yield made
    await made.close()


def test_the_campaign_file_is_what_its_generator_makes():
    assert make_campaign.FILE.read_text(encoding="utf-8") == make_campaign.text()
    assert make_campaign.FILE.stat().st_size < SIZE_MAX


def test_every_address_is_valid_different_and_at_an_example_domain():
    with make_campaign.FILE.open(encoding="utf-8", newline="") as file:
        emails = [row["email"] for row in csv.DictReader(file)]

    assert len(set(emails)) == len(emails) == 5_000
    assert all(normalise(email) == email for email in emails)
    assert {email.rpartition("@")[2] for email in emails} == {
        "example.org", "example.com", "example.net"
    }  # fmt: skip


def test_the_tags_are_as_many_as_the_readme_says():
    tags = Counter(
        person["email"].partition("@")[0].partition("+")[2]
        for person in plan.read_people(make_campaign.FILE)
    )

    assert {tag: n for tag, n in tags.items() if tag} == make_campaign.TAGS


async def test_every_language_renders_with_people_of_it_and_has_five_links(renderer):
    people = list(plan.read_people(make_campaign.FILE))[::SAMPLE]
    items = [plan.email_item(person, campaign="c", run="r") for person in people]
    template = setup.spring_template(EXAMPLES / "templates")
    variants = {setup.FALLBACK: template, **template["locales"]}
    locales = [item["to"][0]["locale"] for item in items]

    rendered = await renderer.render(
        [
            RenderItem(
                source=TemplateSource(key=locale, parts=variants[locale]["email"]),
                context={
                    **item["data"],
                    **item["to"][0]["data"],
                    "recipient": {"name": item["to"][0]["name"]},
                },
            )
            for item, locale in zip(items, locales, strict=True)
        ]
    )

    assert set(locales) == set(variants)
    for item, outcome in zip(items, rendered, strict=True):
        assert isinstance(outcome, Rendered), (item, outcome)
        to = item["to"][0]
        assert len(links_in(outcome.parts["html"])) >= 5
        assert all(order["title"] in outcome.parts["text"] for order in to["data"]["items"])
        assert "\n" not in outcome.parts["subject"].strip()


async def test_the_basket_event_renders_to_json_that_holds_the_basket(renderer):
    people = list(plan.read_people(make_campaign.FILE))[::SAMPLE]
    items = [
        plan.webhook_item(person, campaign="c", url="https://x.example/h") for person in people
    ]
    contents = setup.contents_of(EXAMPLES / "templates", "webhook", setup.BASKET_EVENT)

    rendered = await renderer.render(
        [
            RenderItem(
                source=TemplateSource(key="event", parts=contents["webhook"]),
                context={
                    **item["data"],
                    **item["to"][0]["data"],
                    "recipient": {"name": item["to"][0]["name"]},
                },
            )
            for item in items
        ]
    )

    for person, item, outcome in zip(people, items, rendered, strict=True):
        assert isinstance(outcome, Rendered), (item, outcome)
        payload = json.loads(finish(outcome.parts)["payload"])
        data = item["to"][0]["data"]
        assert payload["customer"]["email"] == person["email"]
        assert payload["total"] == data["total"]
        assert [e["sku"] for e in payload["basket"]] == [e["sku"] for e in data["items"]]


async def test_the_password_reset_renders_with_and_without_a_device(renderer):
    contents = setup.bank_templates(EXAMPLES / "templates")[setup.RESET]
    resets = [plan.password_reset(number, campaign="c") for number in range(6)]

    rendered = await renderer.render(
        [
            RenderItem(
                source=TemplateSource(key="reset", parts=contents["email"]),
                context={**reset["data"], "recipient": {"name": reset["to"][0]["name"]}},
            )
            for reset in resets
        ]
    )

    for reset, outcome in zip(resets, rendered, strict=True):
        assert isinstance(outcome, Rendered), outcome
        assert reset["data"]["code"] in outcome.parts["subject"]
        assert reset["data"]["reset_url"] in outcome.parts["text"]
