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
WIDTH_MAX: Final = 80
SHOP: Final = "Shop · emails of its campaign in 8 languages, in batches of 500"
WEBHOOKS: Final = "Shop · webhooks of the same campaign, from a file dropped by SFTP"
BANK: Final = "Bank · emails to reset a password, urgent, one by one meanwhile"
READER: Final = "Reader · opens 20 % of the campaign's emails, clicks in 5 %"
HEAD: Final = (
    f"{'':6}{'shop, email':>20}{'shop, webhook':>20}{'bank, email':>20}{'reader':>8}",
    f"{'':6}{'  accepted delivered' * 3}  opened",
)
"""Over the lines, where there is no terminal."""


class Screen:
    """Shows how it stands: live on a terminal, a line now and then anywhere else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._began = time.monotonic()
        self._next_line = self._began
        self._has_head = False

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
            lines = [*(() if self._has_head else HEAD), line(standing, now - self._began)]
            self._has_head = True
            for text in lines:
                self._console.print(text, highlight=False, soft_wrap=True)


def line(standing: Standing, elapsed_s: float) -> str:
    """How it stands, in one line below `HEAD`."""
    counts = (f"{s.accepted:10,}{s.states['delivered']:10,}" for s in standing.senders)
    return f"{elapsed_s:4.0f} s{''.join(counts)}{standing.opened:8,}"


def picture(standing: Standing, elapsed_s: float) -> Panel:
    """How it stands, with bars: low enough for a terminal of 24 lines."""
    return Panel(
        Group(
            Text(SHOP, style="bold"),
            _bars(standing.shop, may_fail=True),
            *_shop_notes(standing),
            Text(WEBHOOKS, style="bold"),
            _bars(standing.webhooks),
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
        padding=(0, 2),
    )


def _bars(sender: SenderStanding, *, may_fail: bool = False) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=15)
    table.add_column(width=BAR_WIDTH)
    table.add_column(justify="right", width=7)
    table.add_column()
    accepted = max(sender.accepted, 1)
    rows = [
        ("accepted", sender.accepted, sender.planned, "blue", f"of {sender.planned:,}"),
        ("delivered", sender.states["delivered"], accepted, "green", ""),
    ]
    if may_fail:
        rows.append(("undeliverable", sender.states["undeliverable"], accepted, "red", ""))
    rows.append(("pending", sender.pending, accepted, "yellow", ""))
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
    notes = f"  of all: {rates[0]:,.0f} accepted/s, {rates[1]:,.0f} arriving/s"
    if shop.rejected:
        notes += f"; {shop.rejected} invalid ones refused"
    return [
        Text(f"  {', '.join(f'{n:,} {name}' for name, n in pending)}", style="yellow"),
        Text(notes, style="cyan"),
        Text(),
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
