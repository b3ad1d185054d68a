"""The demonstration's screen while it runs."""

import time
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cdp.cli import demo_plan as plan
from cdp.cli.demo_standing import SenderStanding, Standing

BAR_WIDTH: Final = 34
LINE_EVERY_S: Final = 5.0
WIDTH_MAX: Final = 96
SHOP: Final = "Shop · a spring campaign in 8 languages, posted in batches of 500"
BANK: Final = "Bank · password resets, urgent, one by one in the middle of it"
READER: Final = "Reader · opens 20 % of the campaign, clicks in 5 %, through the tracked links"


class Screen:
    """Shows how it stands: live on a terminal, a line now and then anywhere else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._began = time.monotonic()
        self._next_line = self._began

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, standing: Standing) -> None:
        """Show this."""
        now = time.monotonic()
        if self._console.is_terminal:
            self._live.update(picture(standing, now - self._began), refresh=True)
        elif now >= self._next_line:
            self._next_line = now + LINE_EVERY_S
            self._console.print(line(standing, now - self._began), highlight=False, soft_wrap=True)


def line(standing: Standing, elapsed_s: float) -> str:
    """How it stands, in one line."""
    shop, bank = standing.shop, standing.bank
    return (
        f"{elapsed_s:4.0f} s  shop: {shop.accepted:,} accepted, "
        f"{shop.states['delivered']:,} delivered, {shop.pending:,} pending; "
        f"bank: {bank.accepted} accepted, {bank.states['delivered']} delivered; "
        f"reader: {standing.opened:,} opened, {standing.clicked:,} clicked"
    )


def picture(standing: Standing, elapsed_s: float) -> Panel:
    """How it stands, with bars."""
    return Panel(
        Group(
            Text(SHOP, style="bold"),
            _bars(standing.shop),
            *_shop_notes(standing),
            Text(),
            Text(BANK, style="bold"),
            _bars(standing.bank),
            urgent_note(standing.urgent_s),
            Text(),
            Text(READER, style="bold"),
            Text(
                f"  {standing.opened:,} opened, {standing.clicked:,} clicked, "
                f"{standing.to_read:,} to read",
                style="cyan",
            ),
        ),
        title=f"[bold]Communication Delivery Platform[/bold] · {elapsed_s:.0f} s",
        border_style="blue",
        width=WIDTH_MAX,
        padding=(1, 2),
    )


def _bars(sender: SenderStanding) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=15)
    table.add_column(width=BAR_WIDTH)
    table.add_column(justify="right", width=7)
    table.add_column()
    accepted = max(sender.accepted, 1)
    rows = (
        ("accepted", sender.accepted, sender.planned, "blue", f"of {sender.planned:,}"),
        ("delivered", sender.states["delivered"], accepted, "green", ""),
        ("undeliverable", sender.states["undeliverable"], accepted, "red", ""),
        ("pending", sender.pending, accepted, "yellow", ""),
    )
    for name, value, total, style, note in rows:
        bar = ProgressBar(
            total=max(total, 1), completed=value, width=BAR_WIDTH, complete_style=style,
            finished_style=style,
        )  # fmt: skip
        table.add_row(f"  {name}", bar, f"{value:,}", Text(note, style="dim"))
    return table


def _shop_notes(standing: Standing) -> list[Text]:
    shop = standing.shop
    pending = [(name.replace("_", " "), n) for name, n in shop.pending_by.items() if n]
    rates = (standing.accept_rate.per_s, standing.arrive_rate.per_s)
    notes = f"  {rates[0]:,.0f} accepted/s, {rates[1]:,.0f} arriving/s"
    if shop.rejected:
        notes += f"; {shop.rejected} invalid ones refused"
    return [
        Text(f"  {', '.join(f'{n:,} {name}' for name, n in pending)}", style="yellow"),
        Text(notes, style="cyan"),
    ]


def urgent_note(waits_s: list[float]) -> Text:
    """What the urgent ones have waited so far."""
    half = plan.percentile(waits_s, 50)
    if half is None:
        return Text("  waiting for its turn", style="dim")
    return Text(
        f"  from accept to inbox: half within {half:.2f} s, the slowest {max(waits_s):.2f} s",
        style="cyan",
    )
