"""How `cdp verify` shows what the audit came to."""

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cdp.domain.books import Balance
from cdp.services.verification_service import Verification

EXIT_CLEAN: Final = 0
EXIT_VIOLATIONS: Final = 1
SHOWN_MAX: Final = 50
NAME_CHARS_MIN: Final = 8
WIDE_CHARS: Final = 104

_COLUMNS: Final = (
    ("accepted", "accepted"),
    ("delivered", "delivered"),
    ("undeliverable", "undeliverable"),
    ("suppressed", "suppressed"),
    ("cancelled", "cancelled"),
    ("expired", "expired"),
    ("pending", "pending"),
    ("opened", "opened"),
    ("clicked", "clicked"),
)
_ALWAYS: Final = ("accepted", "delivered", "pending")
_PENDING: Final = ("scheduled", "waiting", "in_flight", "retrying")


def exit_code(verification: Verification) -> int:
    """0 when every rule holds, else 1."""
    return EXIT_CLEAN if verification.is_clean else EXIT_VIOLATIONS


def print_verification(console: Console, verification: Verification) -> None:
    """Print the balances, the violations, and one closing sentence."""
    console.print(_balances(verification), crop=False)
    if verification.violations:
        console.print(_violations(verification))
    for line in _remarks(verification):
        console.print(line, style="dim", highlight=False, markup=False)
    style = "bold green" if verification.is_clean else "bold red"
    console.print(closing_sentence(verification), style=style, highlight=False, markup=False)


def closing_sentence(verification: Verification) -> str:
    """The result in one sentence."""
    total = verification.violations_total
    if total:
        rules = ", ".join(f"{rule}: {n:,}" for rule, n in verification.by_rule.items())
        return f"{total:,} violation{'s' if total != 1 else ''} ({rules})."
    balance = verification.total
    parts = [
        f"{getattr(balance, name):,} {label}"
        for name, label in _COLUMNS[1:7]
        if getattr(balance, name)
    ]
    return f"The books balance: {balance.accepted:,} accepted = {' + '.join(parts) or '0'}."


def _balances(verification: Verification) -> Table:
    total = verification.total
    shown = [name for name, _ in _COLUMNS if name in _ALWAYS or getattr(total, name)]
    # What most platforms show fits on 80 columns; the rest is wider than to lose the names.
    table = Table(
        title="Books",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
        width=WIDE_CHARS if len(shown) > len(_COLUMNS) - 2 else None,
    )
    table.add_column("client", min_width=NAME_CHARS_MIN)
    for name, label in _COLUMNS:
        if name in shown:
            table.add_column(label, justify="right", no_wrap=True)
    for entry in verification.balances:
        table.add_row(escape(entry.name or entry.client), *_cells(entry.balance, shown))
    if len(verification.balances) != 1:
        table.add_section()
        table.add_row("all", *_cells(total, shown), style="bold")
    return table


def _cells(balance: Balance, shown: Sequence[str]) -> list[str]:
    return [f"{getattr(balance, name):,}" for name in shown]


def _violations(verification: Verification) -> Table:
    names = {entry.client: entry.name for entry in verification.balances}
    table = Table(title="Violations", title_justify="left", title_style="bold red")
    table.add_column("rule")
    table.add_column("communication", no_wrap=True)
    table.add_column("client")
    table.add_column("what is wrong", overflow="fold")
    for violation in verification.violations[:SHOWN_MAX]:
        client = names.get(violation.client) or violation.client
        sentence = escape(violation.sentence)
        table.add_row(violation.rule, violation.result_id, escape(client), sentence)
    more = verification.violations_total - min(len(verification.violations), SHOWN_MAX)
    if more > 0:
        table.caption = f"and {more:,} more"
    return table


def _remarks(verification: Verification) -> list[str]:
    balance = verification.total
    remarks = []
    if balance.pending:
        split = ", ".join(f"{getattr(balance, n):,} {n.replace('_', ' ')}" for n in _PENDING)
        remarks.append(f"Pending: {split}.")
    if verification.unknown_outcomes:
        remarks.append(f"Attempts with an unknown outcome: {verification.unknown_outcomes:,}.")
    if verification.taken:
        remarks.append(
            f"Provider's ledger: {verification.taken:,} messages, {verification.doubles:,} doubles."
        )
    if verification.callers:
        remarks.append(f"Callers' ledger: {verification.callers:,} accepted.")
    if verification.overdue:
        remarks.append(f"Due for long: {verification.overdue:,}.")
    if verification.late:
        remarks.append(f"Results a step behind their logs: {verification.late:,}.")
    if verification.never_accepted:
        remarks.append(f"Never accepted, left by a crash: {verification.never_accepted:,}.")
    rate = verification.events / verification.duration_s if verification.duration_s else 0
    remarks.append(
        f"Read {verification.events:,} events of {verification.results:,} results "
        f"in {verification.duration_s:.1f} s ({rate:,.0f} events/s)."
    )
    return remarks
