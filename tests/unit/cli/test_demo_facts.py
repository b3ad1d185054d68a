"""The report's numbers: what is counted, and what has to add up."""

import io
from typing import Any

import pytest
from rich.console import Console

from cdp.cli.demo_checks import checks
from cdp.cli.demo_client import mail_of, opened_of
from cdp.cli.demo_facts import (
    FINAL,
    Facts,
    SenderFacts,
    busiest_second,
    campaign_facts,
    latency_rows,
    moment_of,
    reason_of,
    timeline_rows,
)
from cdp.cli.demo_plan import Expected
from cdp.cli.demo_report import adds_up, print_report, times

CREATED = "2030-03-20T08:00:00Z"
START = moment_of(CREATED)


def _row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "a",
        "segment": "customers",
        "status": "delivered",
        "reason": None,
        "attempts": 1,
        "created_at": CREATED,
        "send_at": None,
        "opened_at": None,
        "clicked_at": None,
        "machine_opened_at": None,
        "machine_clicked_at": None,
        **changes,
    }


def _campaign(**changes: Any) -> dict[str, Any]:
    counts = dict.fromkeys((*FINAL, "pending"), 0)
    counts |= {"accepted": 6, "delivered": 4, "undeliverable": 1, "cancelled": 1}
    given = [("customers", "email", "spring"), ("members", "webhook", "basket-event")]
    return {
        "name": "spring-r1",
        "state": "finished",
        "closed_at": "2030-03-20T08:00:03Z",
        "ended_at": "2030-03-20T08:00:14Z",
        "counts": counts,
        "permutations": [
            {"segment": segment, "channel": channel, "template": template}
            for segment, channel, template in given
        ],
        **changes,
    }


def _facts(**changes: Any) -> Facts:
    shop = SenderFacts(
        channel="email",
        expected=Expected(accepted=4, rejected=1, undeliverable=1, retried=1, cancelled=1),
        accepted=4,
        rejected=1,
    )
    shop.add(_row(opened_at=CREATED, clicked_at=CREATED), START + 5)
    shop.add(_row(id="b", attempts=3), START + 9)
    shop.add(_row(id="c", status="undeliverable", reason="permanent"), None)
    shop.add(_row(id="d", status="cancelled", send_at=CREATED), None)
    webhooks = SenderFacts(channel="webhook", expected=Expected(accepted=2), accepted=2)
    webhooks.add(_row(id="v", segment="members"), START + 2)
    webhooks.add(_row(id="w", segment="members"), START + 2)
    bank = SenderFacts(channel="email", expected=Expected(accepted=1), accepted=1)
    bank.add(_row(id="e", segment=None), START + 0.25)
    values: dict[str, Any] = {
        "shop": shop,
        "webhooks": webhooks,
        "bank": bank,
        "campaign": campaign_facts(_campaign()),
        "began_at": START - 20,
        "posting_began_at": START,
        "posting_ended_at": START + 2,
        "first_arrival_at": START + 0.25,
        "last_arrival_at": START + 9,
        "busiest_per_s": 1,
        "doubles": 0,
        "opened": 1,
        "clicked": 1,
        "follow_failed": 0,
        "repeats": 0,
        "timed_out": False,
        "example": "b",
        "timeline": [],
    }
    return Facts(**(values | changes))


def _wrong(facts: Facts) -> list[str]:
    return [check.sentence for check in checks(facts) if not check.holds]


def test_a_sound_run_adds_up():
    facts = _facts()

    assert _wrong(facts) == []
    assert adds_up(facts)
    assert facts.shop.pending == facts.bank.pending == 0
    assert facts.shop.reasons == {"permanent": 1}


@pytest.mark.parametrize(
    "changes",
    [{"opened": 2}, {"clicked": 0}, {"follow_failed": 1}, {"timed_out": True}],
    ids=lambda change: next(iter(change)),
)
def test_a_number_that_differs_is_found(changes):
    assert not adds_up(_facts(**changes))


def test_a_delivered_message_that_is_not_in_the_mailbox_is_found():
    facts = _facts()
    facts.bank.add(_row(id="f"), None)
    facts.bank.accepted = 2

    assert "Each of those is in the mailbox, and no other" in _wrong(facts)


def test_a_webhook_that_did_not_come_to_the_shop_is_found():
    facts = _facts()
    facts.webhooks.arrived -= 1

    assert _wrong(facts) == ["Each of those came to the shop, and no other"]


def test_a_webhook_that_nobody_was_told_of_is_found():
    facts = _facts()
    facts.webhooks.strays = 1

    assert _wrong(facts) == ["Each of those came to the shop, and no other"]


def test_an_undeliverable_webhook_is_found():
    facts = _facts()
    facts.webhooks.expected += Expected(accepted=1)
    facts.webhooks.accepted += 1
    facts.webhooks.add(_row(id="x", status="undeliverable", reason="address"), None)

    assert "Webhooks delivered: all" in _wrong(facts)


def test_a_campaign_that_is_not_finished_is_found():
    facts = _facts(campaign=campaign_facts(_campaign(state="running", ended_at=None)))

    assert _wrong(facts) == ["The campaign is"]


@pytest.mark.parametrize("name", ["accepted", "delivered"])
def test_books_of_the_campaign_that_differ_are_found(name):
    view = _campaign()
    view["counts"][name] += 1

    assert _wrong(_facts(campaign=campaign_facts(view))) == [f"{name.title()} in its own books"]


def test_a_cancelled_message_in_the_mailbox_is_found():
    facts = _facts()
    facts.shop.add(_row(id="x", status="cancelled"), START + 1)

    assert not adds_up(facts)


def test_an_accepted_message_that_the_api_does_not_list_is_found():
    facts = _facts()
    facts.shop.accepted += 1

    assert not adds_up(facts)


def test_the_example_is_the_delivered_one_with_the_longest_story():
    shop = _facts().shop
    assert shop.example == "b"

    shop.add(_row(id="n", attempts=3, opened_at=CREATED), START + 1)
    shop.add(_row(id="o", attempts=9, status="undeliverable"), None)
    assert shop.example == "n"


def test_a_refusal_names_its_field_and_reason():
    error = {"pointer": "/to/0/email", "code": "address_invalid", "detail": "there is no @"}

    assert reason_of({"detail": "Not valid.", "errors": [error]}) == "/to/0/email: there is no @"
    assert reason_of({"detail": "Too large."}) == "Too large."


def test_a_retry_says_how_long_it_waits():
    event = {
        "at": "2030-03-20T08:00:01Z",
        "number": 5,
        "event": "SCHEDULED",
        "details": {"reason": "retry", "due_at": "2030-03-20T08:00:02.500Z"},
    }

    assert timeline_rows([event])[0][3] == "retry, in 1.5 s"


def test_waits_are_counted_apart_for_first_attempts_retries_and_the_scheduled():
    facts = _facts()
    facts.shop.add(_row(id="g", send_at="2030-03-20T08:00:10Z"), START + 10.5)

    rows = {name: [count, half] for name, count, half, _ in latency_rows(facts)}

    assert rows["bank: password resets, urgent"] == pytest.approx([1, 0.25])
    assert rows["shop: webhooks, in bulk"] == pytest.approx([2, 2])
    assert rows["shop: emails, in bulk"] == pytest.approx([1, 5])
    assert rows["shop: emails, retried ones"] == pytest.approx([1, 9])
    assert rows["shop: scheduled, from their time on"] == pytest.approx([1, 0.5])


def test_rates_and_times_are_told():
    facts = _facts()

    assert facts.accepted_per_s == pytest.approx(2)
    assert facts.delivered_per_s == pytest.approx(5 / 9)
    assert busiest_second([1.1, 1.9, 2.0]) == 2
    assert busiest_second([]) == 0
    assert times(facts, up_s=18.0, whole_s=44.0) == (
        "Platform up after 18.00 s; first message in the mailbox 20.2 s after the command's "
        "start; all done after 44.0 s."
    )


def test_a_timeline_is_in_order_with_the_time_between_and_what_was_said():
    events = [
        {
            "at": "2030-03-20T08:00:01.500Z",
            "number": 2,
            "event": "DELIVERY_FAILED",
            "details": {"attempt": 1, "answer": "451 later", "reason": "transient"},
        },
        {"at": "2030-03-20T08:00:01.000Z", "number": 1, "event": "CREATED", "details": {}},
    ]

    assert timeline_rows(events) == [
        ("08:00:01.000", "", "CREATED", ""),
        (
            "08:00:01.500",
            "+0.500 s",
            "DELIVERY_FAILED",
            "attempt 1, 451 later, transient",
        ),
    ]


def test_the_report_fits_a_terminal_and_names_what_is_wrong():
    console = Console(width=80, record=True, file=io.StringIO())
    many = _campaign()["counts"] | {"accepted": 16_506, "delivered": 16_405, "cancelled": 1_001}

    print_report(console, _facts(opened=7, campaign=campaign_facts(_campaign(counts=many))))

    text = console.export_text()
    assert "What happened" in text
    assert "NO" in text
    assert max(map(len, text.splitlines())) <= 80
    # No word of a table is cut short.
    assert "…" not in text


def test_the_report_has_a_line_for_each_permutation_of_the_campaign():
    console = Console(width=80, record=True, file=io.StringIO())

    print_report(console, _facts())

    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["customers", "email", "spring", "4", "2", "1", "1"] in lines
    assert ["members", "webhook", "basket-event", "2", "2", "·", "·"] in lines
    assert ["all", "its", "own", "books", "6", "4", "1", "1"] in lines


def test_a_mail_is_read_from_the_mailbox_list():
    mail = mail_of(
        {
            "id": "m",
            "channel": "email",
            "message_id": "<r@cdp.localhost>",
            "rcpt_to": ["ada@example.org"],
            "received_at": "2030-03-20T08:00:00.500+00:00",
        }
    )

    assert (mail.result_id, mail.recipient, mail.received_at) == (
        "r",
        "ada@example.org",
        START + 0.5,
    )


def test_what_came_without_a_name_of_its_senders_is_told_from_the_rest():
    item = {
        "id": "m",
        "channel": "sms",
        "message_id": "m@sms",
        "rcpt_to": ["+4915112345678"],
        "received_at": "2030-03-20T08:00:00.500+00:00",
    }

    assert not mail_of(item).is_named
    assert mail_of(item | {"channel": "webhook", "message_id": "r@webhook"}).is_named


def test_pixel_and_tracked_links_are_found_and_others_are_not_followed():
    opened = opened_of(
        {
            "html": '<img src="http://127.0.0.1:8000/t/o/tok.gif" width="1">',
            "links": ["http://127.0.0.1:8000/t/c/abc", "https://shop.example.com/unsubscribe"],
        }
    )

    assert opened.pixel == "http://127.0.0.1:8000/t/o/tok.gif"
    assert opened.links == ("http://127.0.0.1:8000/t/c/abc",)
    assert opened_of({"html": None}).pixel is None
