"""What the demonstration sends: the plan and its expectations agree with the campaign file."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cdp.cli import demo_plan as plan
from cdp.cli import demo_setup as setup
from cdp.cli.api import JSON, NDJSON
from cdp.cli.demo_run import MEMBERS, PEOPLE
from cdp.http.communication_models import CommunicationIn

EXAMPLES = Path(__file__).parents[3] / "examples"
NOW = datetime(2030, 3, 20, 8, 0, tzinfo=UTC)


HOOK = plan.hook_of("http://127.0.0.1:8025/", "r1")


def _batches(run: str = "r1") -> list[plan.Batch]:
    people = plan.read_people(EXAMPLES / "spring-campaign.csv")
    return list(plan.email_batches(people, campaign="spring", run=run, now=NOW))


def _webhooks() -> plan.Batch:
    people = plan.read_people(EXAMPLES / "spring-campaign.csv")
    return plan.webhook_file(people, campaign="spring", url=HOOK)


def _is_valid(item: plan.Item) -> bool:
    try:
        CommunicationIn.model_validate_json(orjson.dumps(item))
    except ValidationError:
        return False
    return item.get("template") != "summer" and item.get("segment") in (*setup.SEGMENTS, None)


def test_the_whole_file_is_posted_and_the_expectations_count_what_the_api_takes():
    batches = _batches()
    expected = sum((batch.expected for batch in batches), plan.Expected())

    valid = [item for batch in batches for item in batch.items if _is_valid(item)]

    assert len(valid) == expected.accepted == PEOPLE
    assert sum(len(batch.items) for batch in batches) - len(valid) == expected.rejected > 0
    assert (expected.undeliverable, expected.retried) == (100, 150)


def test_each_member_gets_a_webhook_beside_the_email():
    emails = [item for batch in _batches() for item in batch.items if _is_valid(item)]
    file = _webhooks()
    webhooks = [item for item in file.items if _is_valid(item)]

    assert len(file.items) - len(webhooks) == file.expected.rejected == 2
    assert {item["to"][0]["url"] for item in webhooks} == {HOOK}
    assert {item["segment"] for item in webhooks} == {setup.MEMBERS}
    members = [item for item in emails if item["segment"] == setup.MEMBERS]
    assert [w["to"][0]["name"] for w in webhooks] == [e["to"][0]["name"] for e in members]
    assert len(webhooks) == file.expected.accepted == file.expected.delivered == MEMBERS


def test_the_campaign_names_segments_that_are_assigned_on_its_channels_and_no_template():
    items = [i for b in (*_batches(), _webhooks()) for i in b.items if _is_valid(i)]
    assigned = {(segment, channel) for segment, channel, _ in setup.ASSIGNED}

    assert not any("template" in item for item in items)
    assert {(item["segment"], item["channel"]) for item in items} == assigned
    assert {item["campaign"] for item in items} == {"spring"}


def test_batches_come_by_turns_in_both_formats_and_hold_no_more_than_five_hundred_people():
    batches = _batches()

    assert {batch.content_type for batch in batches} == {JSON, NDJSON}
    assert all(batch.expected.accepted <= plan.BATCH for batch in batches)
    for batch in batches:
        if batch.content_type == JSON:
            sent = json.loads(batch.body)
        else:
            sent = [json.loads(line) for line in batch.body.splitlines()]
        assert sent == list(batch.items)


def test_the_broken_items_are_broken_in_different_ways():
    broken = [item for batch in _batches() for item in batch.items if not _is_valid(item)]

    mistakes = Counter(
        "to" if "to" not in item else item["to"][0]["email"].partition(".")[0] for item in broken
    )

    assert len(mistakes) >= 4


def test_the_first_batch_is_scheduled_seconds_ahead_and_one_of_it_can_be_cancelled():
    first, *others = _batches()

    moments = [datetime.fromisoformat(item["send_at"]) for item in first.items]
    chosen = first.items[plan.cancellable(first)]["to"][0]["email"]

    assert first.expected.scheduled == len(first.items) == plan.SCHEDULED
    assert all(2 < (moment - NOW).total_seconds() < 30 for moment in moments)
    assert "+" not in chosen
    assert not any("send_at" in item for batch in others for item in batch.items)


def test_the_cancelled_one_is_not_expected_to_be_delivered():
    expected = plan.cancel_one(plan.Expected(accepted=10, undeliverable=2))

    assert expected.delivered == 7


def test_a_second_run_uses_other_addresses_where_the_mailbox_counts_attempts():
    def emails(run: str) -> list[str]:
        return [i["to"][0]["email"] for b in _batches(run) for i in b.items if i.get("to")]

    first, second = emails("r1"), emails("r2")

    different = [a for a, b in zip(first, second, strict=True) if a != b]
    assert len(different) == 150
    assert all(plan.is_temporary(address) for address in different)
    assert plan.address_of_run("ada+soft2@example.org", "r1") == "ada+soft2+r1@example.org"
    assert plan.address_of_run("ada@example.org", "r1") == "ada@example.org"


def test_an_order_is_read_with_numbers_as_numbers():
    assert plan.order_of("MUG:Steingutbecher:2:14.90|SOAP:Seife:1:6.90") == [
        {"sku": "MUG", "title": "Steingutbecher", "quantity": 2, "price": 14.9},
        {"sku": "SOAP", "title": "Seife", "quantity": 1, "price": 6.9},
    ]


def test_every_password_reset_is_valid_urgent_and_has_its_own_code():
    resets = [plan.password_reset(n, campaign="resets") for n in range(plan.URGENT)]

    assert all(map(_is_valid, resets))
    assert {reset["priority"] for reset in resets} == {"high"}
    assert len({reset["data"]["code"] for reset in resets}) == plan.URGENT


def test_the_reader_opens_the_stated_share_and_clicks_only_in_what_it_has_opened():
    ids = [f"{n:032x}" for n in range(10_000)]

    opened = {i for i in ids if plan.opens(i)}
    clicked = {i for i in ids if plan.clicks(i)}

    assert len(opened) / len(ids) == pytest.approx(plan.OPENS_PERCENT / 100, abs=0.02)
    assert len(clicked) / len(ids) == pytest.approx(plan.CLICKS_PERCENT / 100, abs=0.01)
    assert clicked < opened


@given(st.text(max_size=40), st.lists(st.text(max_size=9), min_size=1, max_size=20))
def test_the_link_that_is_clicked_is_one_of_the_message(result_id, links):
    assert plan.link_to_click(result_id, links) in links


@given(st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=200), st.floats(0, 100))
def test_a_percentile_is_a_value_that_occurs_and_so_many_are_not_above_it(values, percent):
    found = plan.percentile(values, percent)

    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-6


def test_the_percentile_of_nothing_is_none():
    assert plan.percentile([], 50) is None
    assert plan.percentile([3.0, 1.0, 2.0], 50) == 2.0


def test_a_message_id_names_its_result():
    assert plan.result_id_of(" <0190-ab@cdp.localhost> ") == "0190-ab"
