"""`cdp sender`: who clients' communications come from."""

from dataclasses import replace
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from cdp.cli.shell import out, refusals, with_wiring
from cdp.domain.ids import ClientId
from cdp.domain.sender import SENDERS_MAX, Identity, Sender
from cdp.errors import Invalid
from cdp.http.json_input import validate
from cdp.http.parameters import checked_name
from cdp.http.sender_models import SenderIn
from cdp.http.senders import identity_in
from cdp.wiring import Wiring

sender_app = typer.Typer(help="Set, list and take away senders of a client.", no_args_is_help=True)

ClientArgument = Annotated[str, typer.Argument(help="The client's name.")]
NameArgument = Annotated[str, typer.Argument(help="The sender's name.")]
DEFAULT_OPTION: Final = "--default/--no-default"


@sender_app.command("set")
def set_sender(
    client: ClientArgument,
    name: NameArgument,
    channel: Annotated[str, typer.Option(help="email, sms, push, in_app or webhook.")] = "email",
    email: Annotated[str | None, typer.Option(help="Of email: the address.")] = None,
    display_name: Annotated[str | None, typer.Option(help="Of email: the name beside it.")] = None,
    reply_to: Annotated[str | None, typer.Option(help="Of email: where answers go.")] = None,
    dkim_domain: Annotated[str | None, typer.Option(help="Of email: who signs.")] = None,
    originator: Annotated[
        str | None, typer.Option(help="Of SMS: a number, a short code or a name.")
    ] = None,
    is_default: Annotated[
        bool | None,
        typer.Option(DEFAULT_OPTION, help="Whether it counts where nothing names a sender."),
    ] = None,
) -> None:
    """Make a sender, or let it be this and nothing else.

    Example: cdp sender set acme news --email news@acme.example --display-name "Acme News" --default
    """

    async def work(wiring: Wiring) -> tuple[Sender, bool]:
        owner = await _owner(wiring, client)
        return await wiring.sender_service().put(
            owner, checked_name(name), identity, is_default=is_default
        )

    with refusals():
        identity = read_identity(
            channel=channel,
            email=email,
            display_name=display_name,
            reply_to=reply_to,
            dkim_domain=dkim_domain,
            originator=originator,
        )
        sender, is_new = with_wiring("cli", work)
    word = "made" if is_new else "set"
    default = ", the default" if sender.is_default else ""
    out.print(f"Sender {sender.name} of {client} is {word}{default}.", highlight=False)
    out.print("In force within two seconds.", style="dim", highlight=False)


@sender_app.command("list")
def list_senders(client: ClientArgument) -> None:
    """Show a client's senders.

    Example: cdp sender list acme
    """

    async def work(wiring: Wiring) -> list[Sender]:
        owner = await _owner(wiring, client)
        service = wiring.sender_service()
        return await service.page(owner, channel=None, after=None, limit=SENDERS_MAX)

    with refusals():
        senders = with_wiring("cli", work)
    table = Table("sender", "channel", "shows", "default", box=None, pad_edge=False)
    for sender in senders:
        default = "yes" if sender.is_default else ""
        table.add_row(sender.name, sender.channel, shown(sender.identity), default)
    out.print(table if senders else "There are none.", markup=False)


@sender_app.command("delete")
def delete_sender(client: ClientArgument, name: NameArgument) -> None:
    """Take a sender away that no delivery configuration names.

    Example: cdp sender delete acme news
    """

    async def work(wiring: Wiring) -> None:
        owner = await _owner(wiring, client)
        await wiring.sender_service().delete(owner, name, seen=None)

    with refusals():
        with_wiring("cli", work)
    out.print(f"Sender {name} of {client} is gone.", highlight=False)


def read_identity(**given: str | None) -> Identity:
    """The identity that the options name.

    Raises:
        Invalid: they name none.
    """
    said: dict[str, Any] = {name: text for name, text in given.items() if text is not None}
    try:
        return identity_in(validate(SenderIn, said).root)
    except Invalid as error:
        raise Invalid([replace(e, pointer=_option(e.pointer)) for e in error.errors]) from None


def _option(pointer: str) -> str:
    return "--" + pointer.removeprefix("/").replace("_", "-")


def shown(identity: Identity) -> str:
    """What recipients see."""
    if identity.display_name:
        return f"{identity.display_name} <{identity.address}>"
    return identity.address


async def _owner(wiring: Wiring, client: str) -> ClientId:
    return (await wiring.access_service().client_named(client)).id
