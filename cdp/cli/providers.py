"""`cdp provider`: accounts with vendors, for the platform and for a client.

A credential is never an argument, which every user of the machine could read while the command
runs: it comes from a file or from standard input.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from cdp.cli.shell import out, refusals, with_wiring
from cdp.domain.ids import ClientId
from cdp.domain.provider_account import ACCOUNTS_MAX, ProviderAccount
from cdp.domain.rate_budget import RATE_MOST
from cdp.errors import Conflict, FieldError, Invalid, NotFound
from cdp.http.parameters import checked_name
from cdp.providers.registry import unusable
from cdp.services.provider_kinds import ProviderKind, kind_of, kinds
from cdp.services.provider_service import ProviderService, Resealed
from cdp.wiring import Wiring

provider_app = typer.Typer(
    help="Set up, list and take away providers, of the platform and of clients.",
    no_args_is_help=True,
)

FROM_FILE: Final = "@"
STANDARD_INPUT: Final = "-"
ENABLED_OPTION: Final = "--enabled/--disabled"

ClientOption = Annotated[
    str | None, typer.Option("--client", help="The client's name; left out, the platform.")
]
RateOption = Annotated[
    float | None,
    typer.Option(
        min=0, max=RATE_MOST, help="Messages a second that it is given at most; 0: no limit."
    ),
]
NameArgument = Annotated[str, typer.Argument(help="The provider's name.")]


@provider_app.command("set")
def set_provider(
    name: NameArgument,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            help="NAME=VALUE of what the kind takes. A credential is NAME=@FILE, or NAME=@- from "
            "standard input. NAME= takes away.",
            metavar="NAME=VALUE…",
        ),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Of a new one, such as email.smtp or sms.twilio.")
    ] = None,
    client: ClientOption = None,
    enabled: Annotated[
        bool | None, typer.Option(ENABLED_OPTION, help="Whether it is given messages.")
    ] = None,
    rate: RateOption = None,
) -> None:
    """Set up a provider, or change settings of one; its others stay.

    Example: cdp provider set texts --kind sms.twilio account_sid=AC00 auth_token=@token.txt
    """

    async def work(wiring: Wiring) -> ProviderAccount:
        service, owner = wiring.provider_service(), await _owner(wiring, client)
        stored = await _stored(service, owner, name)
        if stored is not None and kind not in (None, stored.kind):
            raise Conflict(f"It is of the kind {stored.kind}, and stays so.")
        known = kind_of(_required(kind, name) if stored is None else stored.kind)
        changes = read_settings(known, settings or [])
        if stored is None:
            return await service.create(
                owner,
                name=checked_name(name),
                kind=known.kind,
                settings=merged(known, {}, changes),
                is_enabled=enabled is not False,
                rate_per_s=rate or None,
            )
        return await service.replace(
            owner,
            name,
            settings=merged(known, stored.settings, changes),
            is_enabled=stored.is_enabled if enabled is None else enabled,
            rate_per_s=stored.rate_per_s if rate is None else rate or None,
            seen=(stored.version,),
        )

    with refusals():
        try:
            account = with_wiring("cli", work)
        except Invalid as error:
            raise Invalid([replace(e, pointer=_typed(e.pointer)) for e in error.errors]) from None
    state = "" if account.is_enabled else ", switched off"
    out.print(f"Provider {name} of {_whose(client)}: {account.kind}{state}.", highlight=False)
    out.print("In force within two seconds.", style="dim", highlight=False)


@provider_app.command("list")
def list_providers(client: ClientOption = None) -> None:
    """Show the providers of a client, or the platform's; of credentials only which are set.

    Example: cdp provider list --client acme
    """

    async def work(wiring: Wiring) -> list[ProviderAccount]:
        owner = await _owner(wiring, client)
        return await wiring.provider_service().page(owner, after=None, limit=ACCOUNTS_MAX)

    with refusals():
        accounts = with_wiring("cli", work)
    table = Table("provider", "kind", "on", "settings", "credentials", box=None, pad_edge=False)
    for account in accounts:
        said = ", ".join(f"{name}={value}" for name, value in account.settings.items())
        on = "yes" if account.is_enabled else "no"
        table.add_row(account.name, account.kind, on, said, ", ".join(account.secrets))
    out.print(table if accounts else f"There are none of {_whose(client)}.", markup=False)


@provider_app.command("kinds")
def list_kinds() -> None:
    """Show which kinds there are, also of installed packages, and why one can't be used.

    Example: cdp provider kinds
    """
    table = Table("kind", "needs", "credentials", box=None, pad_edge=False)
    for each in kinds():
        needs = [name for name, field in each.model.model_fields.items() if field.is_required()]
        table.add_row(each.kind, ", ".join(needs), ", ".join(each.secrets))
    out.print(table, markup=False)
    broken = unusable()
    for reason in broken:
        out.print(f"Can't be used: {reason}", style="red", markup=False, highlight=False)
    if broken:
        raise typer.Exit(1)


@provider_app.command("delete")
def delete_provider(name: NameArgument, client: ClientOption = None) -> None:
    """Take a provider away that no delivery configuration names.

    Example: cdp provider delete texts --client acme
    """

    async def work(wiring: Wiring) -> None:
        owner = await _owner(wiring, client)
        await wiring.provider_service().delete(owner, name, seen=None)

    with refusals():
        with_wiring("cli", work)
    out.print(f"Provider {name} of {_whose(client)} is gone.", highlight=False)


@provider_app.command("reseal")
def reseal() -> None:
    """Seal all credentials with the first of CDP_SECRETS_KEYS, so that the others may go.

    Example: cdp provider reseal
    """

    async def work(wiring: Wiring) -> Resealed:
        return await wiring.provider_service().reseal()

    with refusals():
        done = with_wiring("cli", work)
    out.print(f"Sealed anew: {done.accounts}.", highlight=False)
    for account in done.unreadable:
        whose = "the platform" if account.client_id is None else f"client {account.client_id.hex()}"
        out.print(
            f"No key opens {account.name} of {whose}: set it anew.", style="red", markup=False
        )
    if done.unreadable:
        raise typer.Exit(1)


def read_settings(
    kind: ProviderKind, given: list[str], *, read: Callable[[str], str] | None = None
) -> dict[str, Any]:
    """The settings that `NAME=VALUE` arguments name, flat; None is for those that go.

    Args:
        kind: of the provider.
        given: the arguments.
        read: the text of a file, or of standard input for `-`.

    Raises:
        Invalid: an argument is not of this form, or a credential is not in a file.
    """
    read = read or _text_of
    settings: dict[str, Any] = {}
    for text in given:
        path, equals, value = text.partition("=")
        if not (path and equals):
            raise _refused(text, "is not NAME=VALUE")
        is_credential = path.partition("/")[0] in kind.secrets
        if is_credential and value and not value.startswith(FROM_FILE):
            raise _refused(path, "is a credential and comes from a file: NAME=@FILE, or NAME=@-")
        settings[path] = (read(value[1:]) if is_credential else value) if value else None
    return settings


def merged(
    kind: ProviderKind, stored: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings with these changes.

    A credential that goes stays as None, by which the service knows; any other goes to its default.
    """
    settings: dict[str, Any] = dict(stored)
    for path, value in changes.items():
        name, is_entry, entry = path.partition("/")
        if is_entry and name in kind.maps:
            settings.setdefault(name, {})[entry] = value
        elif value is None and name not in kind.secrets:
            settings.pop(name, None)
        else:
            settings[path] = value
    return settings


def _text_of(path: str) -> str:
    try:
        text = sys.stdin.read() if path == STANDARD_INPUT else Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        raise _refused(path, "can't be read as text") from None
    return text.rstrip("\r\n")


def _refused(what: str, detail: str) -> Invalid:
    return Invalid([FieldError(pointer="", code="unfit", detail=f"{what} {detail}.")])


def _typed(pointer: str) -> str:
    """What was typed for it."""
    if pointer == "/kind":
        return "--kind"
    typed = pointer.removeprefix("/settings").removeprefix("/")
    return typed.replace("~1", "/").replace("~0", "~")


def _required(kind: str | None, name: str) -> str:
    if kind is None:
        raise _refused(name, "is not there yet: say its --kind, such as email.smtp")
    return kind


async def _stored(
    service: ProviderService, owner: ClientId | None, name: str
) -> ProviderAccount | None:
    try:
        return await service.get(owner, name)
    except NotFound:
        return None


async def _owner(wiring: Wiring, client: str | None) -> ClientId | None:
    if client is None:
        return None
    return (await wiring.access_service().client_named(client)).id


def _whose(client: str | None) -> str:
    return "the platform" if client is None else client
