"""`cdp config`: delivery and retries, for the platform and for a client, level by level."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from cdp.cli.shell import out, refusals, with_wiring
from cdp.domain.delivery_config import FIELDS, LEVELS_MAX, ConfigLevel, ConfigScope, DeliveryConfig
from cdp.domain.ids import ClientId
from cdp.errors import FieldError, Invalid
from cdp.http.delivery_configs import config_in, scope_in
from cdp.http.json_input import M, validate
from cdp.http.models import DeliveryConfigIn, DeliveryFieldsIn
from cdp.services.delivery_config_service import ExplainedField
from cdp.wiring import Wiring

config_app = typer.Typer(help="Configure delivery and retries.", no_args_is_help=True)

LISTS: Final = ("retry_on", "providers")

ClientOption = Annotated[
    str | None, typer.Option("--client", help="The client's name; left out, all clients.")
]
ChannelOption = Annotated[str | None, typer.Option(help="Only on this channel.")]
CampaignOption = Annotated[str | None, typer.Option(help="Only of this campaign.")]
SegmentOption = Annotated[str | None, typer.Option(help="Only of this segment.")]


@config_app.command("set")
def set_config(
    fields: Annotated[
        list[str], typer.Argument(help=f"NAME=VALUE of {', '.join(FIELDS)}.", metavar="NAME=VALUE…")
    ],
    client: ClientOption = None,
    channel: ChannelOption = None,
    campaign: CampaignOption = None,
    segment: SegmentOption = None,
) -> None:
    """Set fields of one level; the others of it stay.

    Example: cdp config set --client acme --campaign spring attempts_max=20 backoff_initial_s=30
    """

    async def work(wiring: Wiring) -> ConfigLevel:
        owner = await _owner(wiring, client)
        return await wiring.delivery_config_service().set(owner, scope, config)

    with refusals():
        scope = read_scope(channel=channel, campaign=campaign, segment=segment)
        config = read_fields(fields)
        level = with_wiring("cli", work)
    out.print(f"For {_whose(client)}{described(level.scope)}: {_said(level)}.", highlight=False)
    out.print("In force within two seconds.", style="dim", highlight=False)


@config_app.command("list")
def list_configs(client: ClientOption = None) -> None:
    """Show the levels of a client, or the platform's.

    Example: cdp config list --client acme
    """

    async def work(wiring: Wiring) -> list[ConfigLevel]:
        return await wiring.delivery_config_service().page(
            await _owner(wiring, client), named=ConfigScope(), after=None, limit=LEVELS_MAX
        )

    with refusals():
        levels = with_wiring("cli", work)
    table = Table("channel", "campaign", "segment", "says", box=None, pad_edge=False)
    for level in sorted(levels, key=lambda each: each.scope.narrowness):
        named = (level.scope.channel, level.scope.campaign, level.scope.segment)
        table.add_row(*(name or "any" for name in named), _said(level))
    out.print(table if levels else f"Nothing is configured for {_whose(client)}.", markup=False)


@config_app.command("delete")
def delete_config(
    client: ClientOption = None,
    channel: ChannelOption = None,
    campaign: CampaignOption = None,
    segment: SegmentOption = None,
) -> None:
    """Take a level away; what it said is inherited again.

    Example: cdp config delete --client acme --campaign spring
    """

    async def work(wiring: Wiring) -> None:
        await wiring.delivery_config_service().delete_at(await _owner(wiring, client), scope)

    with refusals():
        scope = read_scope(channel=channel, campaign=campaign, segment=segment)
        with_wiring("cli", work)
    out.print(f"Nothing is configured for {_whose(client)}{described(scope)} now.", highlight=False)


@config_app.command("explain")
def explain_config(
    client: Annotated[str, typer.Argument(help="The client's name.")],
    channel: Annotated[str, typer.Option(help="Of the communication.")] = "email",
    campaign: Annotated[str | None, typer.Option(help="Of the communication.")] = None,
    segment: Annotated[str | None, typer.Option(help="Of the communication.")] = None,
) -> None:
    """Show what counts for a communication, and which level says so.

    Example: cdp config explain acme --campaign spring --segment vip
    """

    async def work(wiring: Wiring) -> list[ExplainedField]:
        owner = (await wiring.access_service().client_named(client)).id
        return await wiring.delivery_config_service().explain(owner, scope)

    with refusals():
        scope = read_scope(channel=channel, campaign=campaign, segment=segment)
        explained = with_wiring("cli", work)
    table = Table("field", "value", "from", box=None, pad_edge=False)
    for each in explained:
        table.add_row(each.name, _shown(each.value), _origin(each.level))
    out.print(table, markup=False)


def read_fields(given: list[str]) -> DeliveryConfig:
    """The configuration that `NAME=VALUE` arguments name; lists are separated by commas.

    Raises:
        Invalid: there is no such field, or its value is not one.
    """
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in FIELDS:
            detail = f"{text} is not NAME=VALUE with a name of {', '.join(FIELDS)}."
            raise Invalid([FieldError(pointer="", code="unknown", detail=detail)])
        values[name] = value.split(",") if name in LISTS else value
    return config_in(_checked(DeliveryFieldsIn, values))


def read_scope(**named: str | None) -> ConfigScope:
    """What the options name.

    Raises:
        Invalid: there is no such channel, or no campaign or segment can have this name.
    """
    return scope_in(_checked(DeliveryConfigIn, named))


def _checked(model: type[M], values: Mapping[str, Any]) -> M:
    try:
        # As text from a command line, not as JSON: "3" is a number here.
        return validate(model, values, strict=False)
    except Invalid as error:
        # And no pointer into a body, but the name that was typed.
        raise Invalid([replace(e, pointer=e.pointer.split("/")[1]) for e in error.errors]) from None


def described(scope: ConfigScope) -> str:
    """What a level is for, behind the name of its owner."""
    named = (
        ("channel", scope.channel), ("campaign", scope.campaign), ("segment", scope.segment)
    )  # fmt: skip
    return "".join(f", {kind} {name}" for kind, name in named if name is not None)


async def _owner(wiring: Wiring, client: str | None) -> ClientId | None:
    if client is None:
        return None
    return (await wiring.access_service().client_named(client)).id


def _whose(client: str | None) -> str:
    return "all clients" if client is None else client


def _said(level: ConfigLevel) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in level.config.said().items())


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(value) or "none"
    if value is None or isinstance(value, str):
        return value or "none"
    return f"{value:g}"


def _origin(level: ConfigLevel | None) -> str:
    if level is None:
        return "default"
    return ("platform" if level.client_id is None else "client") + described(level.scope)
