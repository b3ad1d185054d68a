"""`cdp dead-letters`: what was given up, why, and once more."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.table import Table

from cdp.cli.shell import out, refusals, with_wiring
from cdp.domain.dead_letter import REPLAY_MAX, DeadLetterFilter, ReasonCount
from cdp.domain.failure import Failure
from cdp.domain.ids import ClientId, ResultId, id_from_text, text_of
from cdp.errors import FieldError, Invalid
from cdp.http.dead_letter_models import DeadLetterFilterIn
from cdp.http.dead_letters import filter_in
from cdp.http.json_input import validate
from cdp.services.dead_letter_service import DeadLetter, DeadLetterService
from cdp.wiring import Wiring

dead_letters_app = typer.Typer(
    help="Look at what was given up, and replay it.", no_args_is_help=True
)

LIST_MAX: Final = 500
BY: Final = "cli"

ClientArgument = Annotated[str, typer.Argument(help="The client's name.")]
ClassOption = Annotated[
    str | None, typer.Option("--class", help="transient, permanent, policy or config.")
]
ReasonOption = Annotated[str | None, typer.Option(help="Given up for this reason.")]
ProviderOption = Annotated[str | None, typer.Option(help="Last attempted by this provider.")]
CampaignOption = Annotated[str | None, typer.Option(help="Of this campaign.")]
ChannelOption = Annotated[str | None, typer.Option(help="On this channel.")]
FromOption = Annotated[
    str | None, typer.Option(help="Given up at this time or later, such as 2030-01-31T09:00:00Z.")
]
ToOption = Annotated[str | None, typer.Option(help="Given up before this time.")]


@dead_letters_app.command("list")
def list_dead_letters(
    client: ClientArgument,
    error_class: ClassOption = None,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    campaign: CampaignOption = None,
    channel: ChannelOption = None,
    failed_from: FromOption = None,
    failed_to: ToOption = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="How many at most.")] = 50,
    summary: Annotated[bool, typer.Option(help="Only count them, by reason.")] = False,
) -> None:
    """Show a client's dead letters, the newest failure first.

    Example: cdp dead-letters list acme --class config
    """
    with refusals():
        wanted = read_filter(
            class_=error_class,
            reason=reason,
            provider=provider,
            campaign=campaign,
            channel=channel,
            failed_from=failed_from,
            failed_to=failed_to,
        )

        async def count(wiring: Wiring) -> list[ReasonCount]:
            owner = await _owner(wiring, client)
            return await wiring.dead_letter_service().summary(owner, wanted)

        async def page(wiring: Wiring) -> list[DeadLetter]:
            owner = await _owner(wiring, client)
            service = wiring.dead_letter_service()
            return await service.page(owner, wanted, after=None, limit=limit)

        table = (
            _counted(with_wiring("cli", count)) if summary else _listed(with_wiring("cli", page))
        )
    out.print(table if table.row_count else "There are none.", markup=False)


@dead_letters_app.command("replay")
def replay_dead_letters(
    client: ClientArgument,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="This one; may be given more than once.")
    ] = None,
    error_class: ClassOption = None,
    reason: ReasonOption = None,
    provider: ProviderOption = None,
    campaign: CampaignOption = None,
    channel: ChannelOption = None,
    failed_from: FromOption = None,
    failed_to: ToOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All of the client's, without a filter.")
    ] = False,
) -> None:
    """Send dead letters once more: some by their ids, or all that fit.

    Example: cdp dead-letters replay acme --class config --campaign spring
    """
    with refusals():
        wanted = read_filter(
            class_=error_class,
            reason=reason,
            provider=provider,
            campaign=campaign,
            channel=channel,
            failed_from=failed_from,
            failed_to=failed_to,
        )
        chosen = read_ids(ids or [])
        require_choice(chosen, wanted, everything=everything)

        async def work(wiring: Wiring) -> int:
            owner = await _owner(wiring, client)
            service = wiring.dead_letter_service()
            if chosen:
                return await replay_some(service, owner, chosen)
            return await replay_all(service, owner, wanted, now=wiring.clock.now())

        count = with_wiring("cli", work)
    out.print(f"{count:,} replayed.", highlight=False)


async def replay_some(service: DeadLetterService, client_id: ClientId, ids: list[ResultId]) -> int:
    """Replay those of these that are dead letters of this client. How many were."""
    items = await service.items(client_id, ids)
    return sum(opened for _, opened in await service.replay(list(items.values()), by=BY))


async def replay_all(
    service: DeadLetterService,
    client_id: ClientId,
    wanted: DeadLetterFilter,
    *,
    now: datetime,
    at_once: int = REPLAY_MAX,
) -> int:
    """Replay all that fit and had failed before `now`, so many at once. How many there were."""
    until = now if wanted.failed_to is None else min(now, wanted.failed_to)
    replayed = 0
    while True:
        items = await service.oldest(client_id, replace(wanted, failed_to=until), limit=at_once)
        opened = sum(opened for _, opened in await service.replay(items, by=BY))
        replayed += opened
        # Where none could be opened, others are at it.
        if len(items) < at_once or not opened:
            return replayed


def read_filter(**given: str | None) -> DeadLetterFilter:
    """The filter that the options name.

    Raises:
        Invalid: one of them names nothing.
    """
    said = {name.rstrip("_"): text for name, text in given.items() if text is not None}
    try:
        return filter_in(validate(DeadLetterFilterIn, said))
    except Invalid as error:
        raise Invalid([replace(e, pointer=_option(e.pointer)) for e in error.errors]) from None


def _option(pointer: str) -> str:
    return "--" + pointer.removeprefix("/").replace("_", "-")


def read_ids(texts: list[str]) -> list[ResultId]:
    """The ids that were typed.

    Raises:
        Invalid: one of them is none.
    """
    try:
        return [ResultId(id_from_text(text)) for text in texts]
    except ValueError:
        raise Invalid.at("--id", "invalid", "This is not an id as the list shows them.") from None


def require_choice(ids: list[ResultId], wanted: DeadLetterFilter, *, everything: bool) -> None:
    """Refuse to guess what is meant.

    Raises:
        Invalid: nothing is chosen, or ids and a filter at once.
    """
    filtered = wanted != DeadLetterFilter()
    if (bool(ids), filtered, everything).count(True) == 1:
        return
    detail = "Choose by --id, by a filter, or --all; one of these."
    raise Invalid([FieldError(pointer="", code="missing", detail=detail)])


def _listed(letters: list[DeadLetter]) -> Table:
    table = Table("failed", "id", "class", "reason", "code", "provider", box=None, pad_edge=False)
    for letter in letters:
        failure = letter.result.failure
        table.add_row(
            f"{letter.failed_at:%Y-%m-%d %H:%M:%S}", text_of(letter.result.id), *_cells(failure)
        )
    return table


def _cells(failure: Failure | None) -> tuple[str, str, str, str]:
    if failure is None:
        return ("", "", "", "")
    return (
        failure.error_class.value,
        failure.reason,
        failure.code or "",
        failure.provider or "",
    )


def _counted(counts: list[ReasonCount]) -> Table:
    table = Table("count", "class", "reason", "first", "last", box=None, pad_edge=False)
    for each in counts:
        table.add_row(
            f"{each.count:,}",
            each.error_class.value,
            each.reason,
            f"{each.first_failed_at:%Y-%m-%d %H:%M}",
            f"{each.last_failed_at:%Y-%m-%d %H:%M}",
        )
    return table


async def _owner(wiring: Wiring, client: str) -> ClientId:
    return (await wiring.access_service().client_named(client)).id
