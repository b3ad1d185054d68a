"""What the demonstration says at its end."""

from collections.abc import Callable
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdp.cli.demo_facts import Facts, SenderFacts, checks, latency_rows, timeline_rows

PENDING_NOTE: Final = "Not settled in time: {pending:,} are pending still."

_ROWS: Final[tuple[tuple[str, Callable[[SenderFacts], int]], ...]] = (
    ("accepted", lambda s: s.accepted),
    ("rejected", lambda s: s.rejected),
    ("delivered", lambda s: s.states["delivered"]),
    ("undeliverable", lambda s: s.states["undeliverable"]),
    ("cancelled", lambda s: s.states["cancelled"]),
    ("pending", lambda s: s.pending),
    ("retried", lambda s: s.retried),
    ("scheduled", lambda s: s.scheduled),
    ("opened", lambda s: s.opened),
    ("clicked", lambda s: s.clicked),
)
_NOTES: Final = {
    "accepted": "answered 202, durable before the answer",
    "rejected": "invalid on purpose: each reported with field and reason",
    "delivered": "in the mailbox",
    "undeliverable": "the mailbox said 550: no such user",
    "cancelled": "one of the scheduled, taken back in time",
    "retried": "the mailbox said 451: later; then taken",
    "scheduled": "sent at their time, seconds ahead",
    "opened": "by the reader, through the pixel",
    "clicked": "by the reader, through tracked links",
}


def print_report(console: Console, facts: Facts) -> None:
    """Everything but the books."""
    console.print()
    console.print(_counts(facts))
    if facts.shop.refusals:
        console.print()
        console.print(_refusals(facts.shop))
    console.print()
    console.print(_speed(facts))
    console.print(_rates(facts), style="dim", highlight=False)
    if facts.timeline:
        console.print()
        console.print(_timeline(facts))
    console.print()
    console.print(_checks(facts))
    if facts.timed_out:
        pending = sum(sender.pending for sender in facts.senders)
        console.print(PENDING_NOTE.format(pending=pending), style="bold red")


def adds_up(facts: Facts) -> bool:
    """Whether all numbers are as they must be."""
    return not facts.timed_out and all(check.holds for check in checks(facts))


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )


def _counts(facts: Facts) -> Table:
    table = _table("What happened")
    table.add_column("")
    for name in ("shop", "bank", "all"):
        table.add_column(name, justify="right")
    table.add_column("", style="dim")
    for name, count in _ROWS:
        values = [count(sender) for sender in facts.senders]
        if name == "pending" and not sum(values):
            continue
        cells = [f"{value:,}" if value else "·" for value in (*values, sum(values))]
        table.add_row(name, *cells, _NOTES.get(name, ""))
    return table


def _refusals(sender: SenderFacts) -> Table:
    table = _table("Why some were refused, as the API says it")
    table.add_column("", justify="right")
    table.add_column("field: reason", overflow="fold")
    for reason, count in sorted(sender.refusals.items()):
        table.add_row(f"{count}", Text(reason))
    return table


def _speed(facts: Facts) -> Table:
    table = _table("How fast")
    table.add_column("from accept to inbox")
    for name in ("messages", "half within", "99 % within"):
        table.add_column(name, justify="right")
    for name, count, half, most in latency_rows(facts):
        table.add_row(name, f"{count:,}", _seconds(half), _seconds(most))
    return table


def _rates(facts: Facts) -> str:
    delivered = facts.delivered_per_s
    mean = "nothing arrived" if delivered is None else f"{delivered:,.0f}/s"
    return (
        f"{facts.accepted_per_s:,.0f} messages/s accepted while posting, {facts.busiest_per_s:,}/s "
        f"delivered in the busiest second;\n{mean} from the first accept to the last arrival, "
        "waits for retries included."
    )


def _timeline(facts: Facts) -> Table:
    table = _table(f"One of them: {facts.example}")
    table.add_column("time, UTC")
    table.add_column("after", justify="right")
    table.add_column("event")
    table.add_column("", style="dim", overflow="fold")
    for row in timeline_rows(facts.timeline):
        table.add_row(*row)
    return table


def _checks(facts: Facts) -> Table:
    table = _table("Does it add up?")
    table.add_column("")
    table.add_column("wanted", justify="right")
    table.add_column("found", justify="right")
    table.add_column("")
    for check in checks(facts):
        mark = "[green]yes[/green]" if check.holds else "[bold red]NO[/bold red]"
        table.add_row(check.sentence, f"{check.wanted:,}", f"{check.found:,}", mark)
    if facts.doubles:
        table.caption = f"{facts.doubles} came twice, each with the same Message-ID."
    return table


def times(facts: Facts, *, up_s: float | None, whole_s: float) -> str:
    """How long it took, in one sentence."""
    first = facts.first_arrival_s
    parts = [
        "Platform up after " + _seconds(up_s) if up_s is not None else "The platform was up",
        "no message arrived" if first is None else f"first message in the mailbox {first:.1f} s",
    ]
    return f"{parts[0]}; {parts[1]} after the command's start; all done after {whole_s:.1f} s."


def verdict(facts: Facts) -> str:
    """Whether the demonstration's own numbers add up, in one sentence."""
    wrong = [check.sentence for check in checks(facts) if not check.holds]
    if facts.timed_out:
        wrong.append("Settled in time")
    if not wrong:
        return "What was planned, what the API says and what is in the mailbox agree."
    return f"It does not add up: {'; '.join(wrong)}."


def _seconds(value: float | None) -> str:
    return "·" if value is None else f"{value:.2f} s"
