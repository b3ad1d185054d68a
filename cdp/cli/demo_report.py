"""What the demonstration says at its end."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cdp.cli.demo_checks import Count, checks
from cdp.cli.demo_facts import Facts, SenderFacts, latency_rows, timeline_rows

PENDING_NOTE: Final = "Not settled in time: {pending:,} are pending still."

_ROWS: Final[tuple[tuple[str, Callable[[SenderFacts], int]], ...]] = (
    ("accepted", lambda s: s.accepted),
    ("rejected", lambda s: s.rejected),
    ("delivered", lambda s: s.states["delivered"]),
    ("undeliverable", lambda s: s.states["undeliverable"]),
    ("suppressed", lambda s: s.states["suppressed"]),
    ("cancelled", lambda s: s.states["cancelled"]),
    ("pending", lambda s: s.pending),
    ("retried", lambda s: s.retried),
    ("scheduled", lambda s: s.scheduled),
    ("opened", lambda s: s.opened),
    ("clicked", lambda s: s.clicked),
)
_NOTES: Final = {
    "accepted": "202, or a row of the file",
    "rejected": "invalid on purpose, below",
    "delivered": "in the mailbox",
    "undeliverable": "550: there is no such user",
    "suppressed": "bounced in an earlier run",
    "cancelled": "scheduled, then taken back",
    "retried": "not at the first attempt",
    "scheduled": "sent when they were due",
    "opened": "the reader loads the pixel",
    "clicked": "the reader follows a link",
}
_COLUMNS: Final = ("shop\nemail", "shop\nwebhook", "bank\nemail", "\nall")
_UNDELIVERED: Final = ("undeliverable", "suppressed", "expired")
_UNUSUAL: Final = frozenset({"suppressed", "pending"})
"""What has a line only if there is any."""


def print_report(console: Console, facts: Facts) -> None:
    """Everything but the books."""
    console.print()
    console.print(_counts(facts))
    console.print()
    console.print(_campaign(facts))
    console.print(_campaign_times(facts), style="dim", highlight=False)
    if refusals := Counter(facts.shop.refusals) + Counter(facts.webhooks.refusals):
        console.print()
        console.print(_refusals(refusals))
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
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", style="dim")
    for name, count in _ROWS:
        values = [count(sender) for sender in facts.senders]
        if name in _UNUSUAL and not sum(values):
            continue
        table.add_row(name, *map(_cell, (*values, sum(values))), _NOTES.get(name, ""))
    return table


def _campaign(facts: Facts) -> Table:
    """The campaign, by its permutations of segment, channel and template."""
    campaign = facts.campaign
    table = _table(f"The campaign {campaign.name}: {campaign.state}")
    table.padding = (0, 1, 0, 0)
    for name in ("segment", "channel", "template"):
        table.add_column(name, no_wrap=True)
    for name in ("accepted", "delivered", "undelivered", "cancelled"):
        table.add_column(name, justify="right", no_wrap=True)
    by_channel = {sender.channel: sender.by_segment for sender in facts.of_campaign}
    for each in campaign.permutations:
        states = by_channel.get(each["channel"], {}).get(each["segment"], Counter())
        cells = _campaign_cells(states.total(), states)
        table.add_row(each["segment"], each["channel"], each["template"], *cells)
    table.add_section()
    cells = _campaign_cells(campaign.counts["accepted"], campaign.counts)
    table.add_row("all", "", "its own books", *cells, style="bold")
    return table


def _campaign_cells(accepted: int, states: Mapping[str, int]) -> list[str]:
    undelivered = sum(states[name] for name in _UNDELIVERED)
    return [_cell(n) for n in (accepted, states["delivered"], undelivered, states["cancelled"])]


def _campaign_times(facts: Facts) -> str:
    """When it took nothing more in, and when its books were closed."""
    campaign, last = facts.campaign, facts.last_arrival_at
    if campaign.closed_at is None or campaign.ended_at is None or last is None:
        return "It is not finished."
    open_s = campaign.closed_at - facts.posting_began_at
    return (
        f"It was closed to new requests after {open_s:.1f} s, and finished by itself "
        f"{campaign.ended_at - campaign.closed_at:.1f} s later,\nonce nothing of it was pending."
    )


def _refusals(refusals: Mapping[str, int]) -> Table:
    table = _table("Why some were refused, as the API and the file of rejects say it")
    table.add_column("", justify="right")
    table.add_column("field: reason", overflow="fold")
    for reason, count in sorted(refusals.items()):
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
        f"{facts.accepted_per_s:,.0f} emails of the shop/s accepted while it was posting them;\n"
        f"{facts.busiest_per_s:,} delivered in the busiest second, {mean} from the first accept "
        "to the\nlast arrival, waits for retries included."
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
        table.add_row(check.sentence, _shown(check.wanted), _shown(check.found), mark)
    if facts.doubles:
        table.caption = f"{facts.doubles} came twice, each under the same id."
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


def _cell(value: int) -> str:
    return f"{value:,}" if value else "·"


def _shown(value: Count) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _seconds(value: float | None) -> str:
    return "·" if value is None else f"{value:.2f} s"
