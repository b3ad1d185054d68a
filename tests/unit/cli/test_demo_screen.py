"""The live screen, and the numbers that it shows."""

import io

import pytest
from rich.console import Console

from cdp.cli.demo_progress import HEAD, line, picture, urgent_note
from cdp.cli.demo_standing import Rate, SenderStanding, Standing


def _standing() -> Standing:
    return Standing(
        shop=SenderStanding(planned=5_000),
        webhooks=SenderStanding(planned=397),
        bank=SenderStanding(planned=120),
    )


def _counts(**changes: int) -> dict[str, object]:
    pending = {"scheduled": 1, "waiting": 2, "in_flight": 3, "retrying": 4}
    return {"delivered": 5, "undeliverable": 1, "pending_by": pending} | changes


def test_the_counts_of_batches_are_summed():
    shop = SenderStanding(planned=100, accepted=32)

    shop.count([_counts(), _counts(delivered=7)])

    assert shop.states["delivered"] == 12
    assert shop.pending_by == {"scheduled": 2, "waiting": 4, "in_flight": 6, "retrying": 8}
    assert shop.pending == 32 - 14


def test_it_is_settled_when_all_is_posted_and_nothing_is_pending_or_unread():
    standing = _standing()
    assert not standing.is_settled

    for sender in standing.senders:
        assert not standing.is_settled
        sender.all_posted = True
        sender.accepted = sender.states["delivered"] = 10
    assert standing.is_settled

    standing.to_read = 1
    assert not standing.is_settled


def test_a_rate_is_that_of_the_last_seconds():
    rate = Rate()
    for second in range(10):
        rate.note(float(second), second * 100)

    assert rate.per_s == pytest.approx(100)
    assert Rate().per_s == 0.0


def test_the_screen_fits_a_small_terminal_from_the_first_moment_on():
    standing = _standing()

    def shown(elapsed_s: float) -> list[str]:
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(picture(standing, elapsed_s))
        lines: list[str] = console.export_text().splitlines()
        assert max(map(len, lines)) <= 80
        # Of 24, one is the cursor's.
        assert len(lines) <= 23
        return lines

    shown(0.0)
    standing.shop.accepted = 5_000
    standing.shop.rejected = 20
    standing.shop.count([_counts(delivered=2_310)])
    standing.webhooks.accepted = 397
    standing.webhooks.count([_counts(delivered=211)])
    standing.urgent_s += [0.1, 0.4]
    lines = shown(7.0)

    assert any("2,310" in text for text in lines)
    assert any("211" in text for text in lines)


def test_without_a_terminal_it_is_one_line_below_a_head():
    standing = _standing()
    standing.shop.accepted, standing.webhooks.accepted = 5_000, 397
    standing.webhooks.states["delivered"] = 211

    text = line(standing, 3.2)

    assert text.split() == ["3", "s", "5,000", "0", "397", "211", "0", "0", "0"]
    assert {len(text), *map(len, HEAD)} == {74}


def test_the_urgent_wait_is_told_once_there_is_one():
    assert "turn" in urgent_note([]).plain
    assert "slowest 0.40 s" in urgent_note([0.1, 0.4]).plain
