"""`cdp campaign`: a client's campaigns, made, shown and brought from state to state."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.table import Table

from cdp.cli.shell import out, refusals, with_wiring
from cdp.domain.campaign import CAMPAIGNS_MAX, Campaign, CampaignAct, CampaignSettings
from cdp.errors import FieldError, Invalid
from cdp.http.campaign_models import CampaignIn, campaign_name
from cdp.http.campaigns import settings_in
from cdp.http.json_input import validate
from cdp.services.campaign_service import CampaignView
from cdp.wiring import Wiring

campaign_app = typer.Typer(help="Make, start, pause and end campaigns.", no_args_is_help=True)

ClientName = Annotated[str, typer.Argument(help="The client's name.")]
CampaignName = Annotated[str, typer.Argument(help="The campaign's name, as requests name it.")]

FIELDS = (
    "description", "priority", "start_at", "spread_s", "rate_per_s",
    "frequency_cap.messages", "frequency_cap.window_s",
    "automatic_pause.bounce_rate", "automatic_pause.complaint_rate",
    "automatic_pause.results_min",
)  # fmt: skip
"""What `set` takes, as the API names it."""


@campaign_app.command("set")
def set_campaign(
    client: ClientName,
    name: CampaignName,
    fields: Annotated[
        list[str] | None,
        typer.Argument(help=f"NAME=VALUE of {', '.join(FIELDS)}.", metavar="NAME=VALUE…"),
    ] = None,
) -> None:
    """Make a draft, or let a campaign have these settings and no others.

    Example: cdp campaign set acme spring spread_s=14400 automatic_pause.bounce_rate=0.05
    """

    async def work(wiring: Wiring) -> tuple[Campaign, bool]:
        owner = (await wiring.access_service().client_named(client)).id
        return await wiring.campaigns.service.put(owner, checked, settings, seen=None)

    with refusals():
        checked, settings = read_name(name), read_settings(fields or [])
        campaign, is_new = with_wiring("cli", work)
    made = "is made, a draft" if is_new else f"is changed, and {campaign.state.value}"
    out.print(f"Campaign {campaign.name} {made}.", highlight=False, markup=False)
    if is_new:
        out.print(f"Next: cdp campaign start {client} {name}", style="dim", highlight=False)


@campaign_app.command("list")
def list_campaigns(client: ClientName) -> None:
    """Show a client's campaigns.

    Example: cdp campaign list acme
    """

    async def work(wiring: Wiring) -> list[Campaign]:
        owner = (await wiring.access_service().client_named(client)).id
        return await wiring.campaigns.service.page(
            owner, state=None, after=None, limit=CAMPAIGNS_MAX
        )

    with refusals():
        campaigns = with_wiring("cli", work)
    table = Table("campaign", "state", "description", box=None, pad_edge=False)
    for campaign in campaigns:
        table.add_row(campaign.name, state_of(campaign), campaign.settings.description)
    out.print(table if campaigns else "No campaigns yet.", markup=False)


@campaign_app.command("show")
def show_campaign(client: ClientName, name: CampaignName) -> None:
    """Show a campaign's state and its books.

    Example: cdp campaign show acme spring
    """

    async def work(wiring: Wiring) -> CampaignView:
        owner = (await wiring.access_service().client_named(client)).id
        service = wiring.campaigns.service
        return await service.view(await service.get(owner, checked))

    with refusals():
        checked = read_name(name)
        view = with_wiring("cli", work)
    out.print(f"{view.campaign.name}: {state_of(view.campaign)}.", highlight=False, markup=False)
    table = Table("books", "results", box=None, pad_edge=False)
    books = view.books.books
    for word, count in {"accepted": books.accepted, **books.by_state}.items():
        table.add_row(word, f"{count:,}")
    for word, count in books.pending_by.items():
        table.add_row(f"pending: {word.replace('_', ' ')}", f"{count:,}")
    out.print(table)


@campaign_app.command("start")
def start_campaign(client: ClientName, name: CampaignName) -> None:
    """Let what is held of it go, at its time if that is still to come.

    Example: cdp campaign start acme spring
    """
    _act(client, name, CampaignAct.START)


@campaign_app.command("pause")
def pause_campaign(client: ClientName, name: CampaignName) -> None:
    """Hold what is not sent yet.

    Example: cdp campaign pause acme spring
    """
    _act(client, name, CampaignAct.PAUSE)


@campaign_app.command("resume")
def resume_campaign(client: ClientName, name: CampaignName) -> None:
    """Let a paused campaign go on.

    Example: cdp campaign resume acme spring
    """
    _act(client, name, CampaignAct.RESUME)


@campaign_app.command("close")
def close_campaign(client: ClientName, name: CampaignName) -> None:
    """Take no more requests; it is finished when nothing of it is unfinished.

    Example: cdp campaign close acme spring
    """
    _act(client, name, CampaignAct.CLOSE)


@campaign_app.command("cancel")
def cancel_campaign(client: ClientName, name: CampaignName) -> None:
    """Cancel what is not sent yet, for good.

    Example: cdp campaign cancel acme spring
    """
    _act(client, name, CampaignAct.CANCEL)


@campaign_app.command("delete")
def delete_campaign(client: ClientName, name: CampaignName) -> None:
    """Take a campaign away that has nothing unfinished.

    Example: cdp campaign delete acme spring
    """

    async def work(wiring: Wiring) -> None:
        owner = (await wiring.access_service().client_named(client)).id
        await wiring.campaigns.service.delete(owner, checked, seen=None)

    with refusals():
        checked = read_name(name)
        with_wiring("cli", work)
    out.print(f"Campaign {name} is taken away.", highlight=False, markup=False)


def _act(client: str, name: str, act: CampaignAct) -> None:
    async def work(wiring: Wiring) -> Campaign:
        owner = (await wiring.access_service().client_named(client)).id
        return await wiring.campaigns.service.act(owner, checked, act)

    with refusals():
        checked = read_name(name)
        campaign = with_wiring("cli", work)
    sentence = f"Campaign {campaign.name} is {state_of(campaign)}."
    out.print(sentence, highlight=False, markup=False)
    out.print("In force within a second.", style="dim", highlight=False)


def state_of(campaign: Campaign) -> str:
    """A campaign's state in words."""
    words = campaign.state.value
    if campaign.pause_reason not in (None, "api"):
        words += f" for its {campaign.pause_reason}".replace("_", " ")
    return f"{words}, closed" if campaign.is_closed else words


def read_name(text: str) -> str:
    """A campaign's name in its one form.

    Raises:
        Invalid: it can be none.
    """
    name = campaign_name(text)
    if name is None:
        raise Invalid.at("", "name_invalid", "A campaign's name has no slash or control character.")
    return name


def read_settings(given: list[str]) -> CampaignSettings:
    """The settings that `NAME=VALUE` arguments name.

    Raises:
        Invalid: there is no such field, or its value is not one.
    """
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in FIELDS:
            detail = f"{text} is not NAME=VALUE with a name of {', '.join(FIELDS)}."
            raise Invalid([FieldError(pointer="", code="unknown", detail=detail)])
        outer, _, inner = name.partition(".")
        if inner:
            values.setdefault(outer, {})[inner] = value
        else:
            values[outer] = value
    return settings_in(_checked(values))


def _checked(values: Mapping[str, Any]) -> CampaignIn:
    try:
        # As text from a command line, not as JSON: "3" is a number here.
        return validate(CampaignIn, values, strict=False)
    except Invalid as error:
        # And no pointer into a body, but the name that was typed.
        raise Invalid(
            [replace(e, pointer=e.pointer.strip("/").replace("/", ".")) for e in error.errors]
        ) from None
