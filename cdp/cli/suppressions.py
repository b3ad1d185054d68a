"""`cdp suppression`: who must not be written to."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.table import Table

from cdp.cli.shell import err, out, refusals, with_wiring
from cdp.domain.ids import ClientId
from cdp.domain.suppression import Suppression, suppression_id
from cdp.errors import FieldError, Invalid
from cdp.http.items import line_items
from cdp.http.json_input import validate
from cdp.http.suppression_files import Tally, checked_defaults, exported, keep_rows
from cdp.http.suppression_models import SuppressionIn
from cdp.http.suppression_rows import csv_head, csv_lines, csv_rows, entry_of, json_lines, json_rows
from cdp.wiring import Wiring

suppression_app = typer.Typer(
    help="Say who must not be written to, and see who is not.", no_args_is_help=True
)

SOURCE: Final = "cli"
LIST_MAX: Final = 500
PIECE: Final = 64 * 1024
SHOWN_MAX: Final = 20
"""Rejected rows that are told one by one."""

ClientArgument = Annotated[str, typer.Argument(help="The client's name.")]
RecipientArgument = Annotated[str, typer.Argument(help="An address, as its channel writes it.")]
ChannelOption = Annotated[str, typer.Option(help="On this channel.")]
TopicOption = Annotated[str | None, typer.Option(help="About this; left out, about anything.")]


@suppression_app.command("add")
def add_suppression(
    client: ClientArgument,
    recipient: RecipientArgument,
    channel: ChannelOption = "email",
    topic: TopicOption = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "manual",
    note: Annotated[str, typer.Option(help="For people.")] = "",
) -> None:
    """Write to somebody no more, and stop what is on its way.

    Example: cdp suppression add acme ada@example.org --topic news
    """

    async def work(wiring: Wiring) -> int:
        owner = await _owner(wiring, client)
        entry = _entry(owner, given, now=wiring.clock.now())
        return await wiring.suppression_service().suppress([entry])

    with refusals():
        given = read_entry(
            channel=channel, recipient=recipient, topic=topic, reason=reason, note=note
        )
        stopped = with_wiring("cli", work)
    out.print(f"{recipient} is suppressed; {stopped:,} stopped.", highlight=False, markup=False)


@suppression_app.command("remove")
def remove_suppression(
    client: ClientArgument,
    recipient: RecipientArgument,
    channel: ChannelOption = "email",
    topic: TopicOption = None,
) -> None:
    """Take an entry away; what it has stopped stays stopped.

    Example: cdp suppression remove acme ada@example.org --topic news
    """

    async def work(wiring: Wiring) -> None:
        owner = await _owner(wiring, client)
        entry = _entry(owner, given, now=wiring.clock.now())
        entry_id = suppression_id(owner, entry.channel, entry.recipient, entry.topic)
        await wiring.suppression_service().delete(owner, entry_id)

    with refusals():
        given = read_entry(channel=channel, recipient=recipient, topic=topic)
        with_wiring("cli", work)
    out.print(f"{recipient} may be written to again.", highlight=False, markup=False)


@suppression_app.command("list")
def list_suppressions(
    client: ClientArgument,
    channel: Annotated[str | None, typer.Option(help="Only on this channel.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only of this topic.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="How many at most.")] = 50,
) -> None:
    """Show entries of a client's list; all of them: `cdp suppression export`.

    Example: cdp suppression list acme --reason hard_bounce
    """

    async def work(wiring: Wiring) -> list[Suppression]:
        owner, service = await _owner(wiring, client), wiring.suppression_service()
        return await service.page(owner, named=named, after=None, limit=limit)

    with refusals():
        named = read_defaults(channel=channel, topic=topic, reason=reason)
        entries = with_wiring("cli", work)
    heads = ("since", "channel", "recipient", "topic", "reason", "note")
    table = Table(*heads, box=None, pad_edge=False)
    for entry in entries:
        table.add_row(
            f"{entry.created_at:%Y-%m-%d %H:%M}",
            entry.channel,
            entry.recipient,
            entry.topic or "any",
            entry.reason.value,
            entry.note,
        )
    out.print(table if entries else "There are none.", markup=False)


@suppression_app.command("import")
def import_suppressions(
    client: ClientArgument,
    file: Annotated[
        Path, typer.Argument(help="CSV, or NDJSON by its ending.", exists=True, dir_okay=False)
    ],
    channel: Annotated[str | None, typer.Option(help="Of rows that name none.")] = None,
    topic: Annotated[str | None, typer.Option(help="Of rows that name none.")] = None,
    reason: Annotated[str | None, typer.Option(help="Of rows that name none.")] = None,
) -> None:
    """Keep the entries of a file, however long; its bad rows are told.

    Example: cdp suppression import acme bounced.csv --channel email --reason hard_bounce
    """
    tally = Tally()

    async def work(wiring: Wiring) -> None:
        owner = await _owner(wiring, client)
        with file.open("rb") as opened:
            lines = line_items(_pieces(opened))
            await keep_rows(
                json_rows(lines, defaults) if is_json(file) else csv_rows(lines, defaults),
                service=wiring.suppression_service(),
                made=lambda row: entry_of(owner, row, source="import", now=wiring.clock.now()),
                tally=tally,
            )

    with refusals():
        defaults = read_defaults(channel=channel, topic=topic, reason=reason)
        with_wiring("cli", work)
    for number, error in tally.problems[:SHOWN_MAX]:
        err.print(f"Row {number}: {_why(error)}", style="red", highlight=False, markup=False)
    told = f"{tally.kept:,} of {tally.rows:,} rows kept, {tally.stopped:,} stopped."
    out.print(told, highlight=False)
    if tally.rejected:
        raise typer.Exit(1)


@suppression_app.command("export")
def export_suppressions(
    client: ClientArgument,
    file: Annotated[Path, typer.Argument(help="CSV, or NDJSON by its ending; - is the output.")],
    channel: Annotated[str | None, typer.Option(help="Only on this channel.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only of this topic.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only for this reason.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="For machines: cells that look like formulas stay so.")
    ] = False,
) -> None:
    """Write a client's list to a file.

    Example: cdp suppression export acme suppressed.csv
    """

    async def work(wiring: Wiring) -> int:
        owner, count = await _owner(wiring, client), 0
        with sys.stdout.buffer if str(file) == "-" else file.open("wb") as opened:
            opened.write(b"" if is_json(file) else csv_head())
            async for page in exported(wiring.suppression_service(), owner, named):
                opened.write(json_lines(page) if is_json(file) else csv_lines(page, raw=raw))
                count += len(page)
        return count

    with refusals():
        named = read_defaults(channel=channel, topic=topic, reason=reason)
        count = with_wiring("cli", work)
    err.print(f"{count:,} entries.", highlight=False)


def read_entry(**given: str | None) -> SuppressionIn:
    """What the arguments and options name.

    Raises:
        Invalid: there is no such channel or reason, or the text can't be what it is given for.
    """
    said = {name: text for name, text in given.items() if text is not None}
    try:
        return validate(SuppressionIn, said)
    except Invalid as error:
        raise _as_options(error) from None


def _entry(client_id: ClientId, given: SuppressionIn, *, now: datetime) -> Suppression:
    entry = entry_of(client_id, given, source=SOURCE, now=now)
    if isinstance(entry, Invalid):
        raise _as_options(entry)
    return entry


def read_defaults(**given: str | None) -> dict[str, str]:
    """The options that were given, if they are what an entry may say.

    Raises:
        Invalid: as `read_entry`.
    """
    said = {name: text for name, text in given.items() if text is not None}
    try:
        return dict(checked_defaults(said))
    except Invalid as error:
        raise _as_options(error) from None


def _as_options(error: Invalid) -> Invalid:
    return Invalid([replace(e, pointer=_option(e.pointer.removeprefix("/"))) for e in error.errors])


def _option(name: str) -> str:
    return name.upper() if name == "recipient" else f"--{name}"


def is_json(file: Path) -> bool:
    """Whether a file's name says that it is NDJSON."""
    return file.suffix.lower() in (".ndjson", ".jsonl", ".json")


def _why(error: Any) -> str:
    errors: tuple[FieldError, ...] = getattr(error, "errors", ())
    return " ".join(f"{e.pointer.removeprefix('/')}: {e.detail}" for e in errors) or str(error)


async def _pieces(opened: BinaryIO) -> AsyncIterator[bytes]:
    while piece := opened.read(PIECE):
        yield piece


async def _owner(wiring: Wiring, client: str) -> ClientId:
    return (await wiring.access_service().client_named(client)).id
