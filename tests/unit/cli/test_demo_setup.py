"""What the clients set up: it is there, valid, and told before it is done."""

from pathlib import Path

import orjson

from cdp.cli import demo_plan as plan
from cdp.cli import demo_setup as setup
from cdp.http.campaign_models import CampaignIn
from cdp.http.models import AssignmentIn, SegmentIn
from cdp.http.template_models import TemplateIn

EXAMPLES = Path(__file__).parents[3] / "examples"
FOLDER = EXAMPLES / "templates"


def test_all_templates_are_there_and_valid():
    templates = setup.shop_templates(FOLDER) | setup.bank_templates(FOLDER)

    for contents in templates.values():
        TemplateIn.model_validate_json(orjson.dumps(contents))
    assert set(templates) == {setup.SPRING, setup.BASKET_EVENT, setup.RESET}


def test_the_spring_template_has_a_variant_for_every_language_of_the_file():
    contents = setup.spring_template(FOLDER)

    spoken = {person["locale"] for person in plan.read_people(EXAMPLES / "spring-campaign.csv")}

    assert spoken == {setup.FALLBACK, *contents["locales"]} == set(setup.LANGUAGES)
    assert "Spring has arrived" in contents["email"]["html"]
    assert len({variant["email"]["subject"] for variant in contents["locales"].values()}) == 7


def test_what_is_assigned_names_segments_and_templates_that_are_put():
    templates = setup.shop_templates(FOLDER)

    for segment, channel, template in setup.ASSIGNED:
        AssignmentIn.model_validate({"channel": channel, "campaign": "c", "template": template})
        assert channel in templates[template]
        assert segment in setup.SEGMENTS
    for description in setup.SEGMENTS.values():
        SegmentIn.model_validate({"description": description})
    CampaignIn.model_validate({"description": setup.DESCRIPTION})


def test_everybody_belongs_to_a_segment():
    plans = {"basic": setup.OTHERS, "plus": setup.OTHERS, "premium": setup.MEMBERS}

    assert {name: setup.segment_of({"plan": name}) for name in plans} == plans


def test_the_story_tells_every_assignment_and_fits_a_terminal():
    lines = setup.story("spring-r1a2b")

    [members] = [line for line in lines if "segment members" in line]
    assert "spring by email, basket-event by webhook" in members
    assert any("segment customers" in line for line in lines)
    assert any("spring-r1a2b" in line for line in lines)
    assert max(map(len, lines)) <= 80
