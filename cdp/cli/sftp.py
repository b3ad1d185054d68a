"""`cdp sftp account`: who may drop files for a client by SFTP."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from cdp.cli.shell import out, refusals, with_wiring
from cdp.domain.ids import ClientId
from cdp.domain.sftp_account import ACCOUNTS_MAX, SftpAccount
from cdp.errors import Conflict, Invalid, NotFound
from cdp.http.json_input import validate
from cdp.http.sftp_account_models import SftpAccountIn
from cdp.http.sftp_accounts import new_account_in
from cdp.services.sftp_account_service import NewSftpAccount, SftpAccountService, public_keys
from cdp.wiring import Wiring

sftp_app = typer.Typer(help="Files by SFTP.", no_args_is_help=True)
account_app = typer.Typer(
    help="Add, change, list and remove accounts for SFTP.", no_args_is_help=True
)
keys_app = typer.Typer(help="Add, list and remove keys of an account.", no_args_is_help=True)
sftp_app.add_typer(account_app, name="account")
account_app.add_typer(keys_app, name="keys")

STANDARD_INPUT: Final = "-"
KEY_FILE_CHARS_MAX: Final = 100_000
ENABLED_OPTION: Final = "--enabled/--disabled"

ClientArgument = Annotated[str, typer.Argument(help="The client's name.")]
NameArgument = Annotated[str, typer.Argument(help="The login.")]
KeyFiles = Annotated[
    list[str],
    typer.Argument(help="Files with public keys, a line for each; - is standard input."),
]
Change = Callable[[SftpAccount], SftpAccount]


@account_app.command("add")
def add_account(
    client: ClientArgument,
    name: NameArgument,
    key_files: KeyFiles,
    channel: Annotated[str | None, typer.Option(help="Of rows that name none.")] = None,
    template: Annotated[str | None, typer.Option(help="Of rows that name none.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Of rows that name none.")] = None,
    segment: Annotated[str | None, typer.Option(help="Of rows that name none.")] = None,
) -> None:
    """Add an account, opened by the keys in these files.

    Example: cdp sftp account add acme acme-crm id_ed25519.pub --template welcome
    """

    async def work(wiring: Wiring) -> SftpAccount:
        owner, service = await _owner(wiring, client), wiring.sftp_account_service()
        if name in await service.across_clients([name]):
            raise Conflict(f"The name {name} is taken.")
        account, _ = await service.put(owner, name, new)
        return account

    with refusals():
        given = {"channel": channel, "template": template, "campaign": campaign}
        new = read_account(read_key_lines(key_files), **given, segment=segment)
        account = with_wiring("cli", work)
    out.print(f"Account {account.name} of {client} is made.", highlight=False)
    _print_keys(account)


@account_app.command("set")
def set_account(
    client: ClientArgument,
    name: NameArgument,
    is_enabled: Annotated[
        bool | None, typer.Option(ENABLED_OPTION, help="Whether anybody can log in.")
    ] = None,
    quota_bytes: Annotated[
        int | None, typer.Option(help="What may lie in its inbox at once.")
    ] = None,
    quota_files: Annotated[
        int | None, typer.Option(help="Files that may lie in its inbox at once.")
    ] = None,
) -> None:
    """Close or open an account, or change its quota.

    Example: cdp sftp account set acme acme-crm --disabled
    """

    def change(account: SftpAccount) -> SftpAccount:
        said: dict[str, Any] = {
            "is_enabled": is_enabled,
            "quota_bytes": quota_bytes,
            "quota_files": quota_files,
        }
        return replace(account, **{key: value for key, value in said.items() if value is not None})

    with refusals():
        account = _changed(client, name, change)
    word = "enabled" if account.is_enabled else "disabled"
    out.print(
        f"Account {account.name} of {client} is {word}; its inbox holds {account.quota_bytes:,} "
        f"bytes in {account.quota_files:,} files.",
        highlight=False,
    )
    out.print("In force within two seconds.", style="dim", highlight=False)


@account_app.command("list")
def list_accounts(client: ClientArgument) -> None:
    """Show a client's accounts.

    Example: cdp sftp account list acme
    """

    async def work(wiring: Wiring) -> list[SftpAccount]:
        owner = await _owner(wiring, client)
        return await wiring.sftp_account_service().page(owner, after=None, limit=ACCOUNTS_MAX)

    with refusals():
        accounts = with_wiring("cli", work)
    table = Table("account", "keys", "defaults", "enabled", box=None, pad_edge=False)
    for account in accounts:
        defaults = ", ".join(f"{key} {value}" for key, value in account.defaults.items())
        enabled = "yes" if account.is_enabled else "no"
        table.add_row(account.name, str(len(account.keys)), defaults, enabled)
    out.print(table if accounts else "There are none.", markup=False)


@account_app.command("remove")
def remove_account(client: ClientArgument, name: NameArgument) -> None:
    """Remove an account. What was sent with it goes on.

    Example: cdp sftp account remove acme acme-crm
    """

    async def work(wiring: Wiring) -> None:
        owner = await _owner(wiring, client)
        await wiring.sftp_account_service().delete(owner, name, seen=None)

    with refusals():
        with_wiring("cli", work)
    out.print(f"Account {name} of {client} is gone.", highlight=False)


@keys_app.command("list")
def list_keys(client: ClientArgument, name: NameArgument) -> None:
    """Show the keys that open an account.

    Example: cdp sftp account keys list acme acme-crm
    """

    async def work(wiring: Wiring) -> SftpAccount:
        return await wiring.sftp_account_service().get(await _owner(wiring, client), name)

    with refusals():
        account = with_wiring("cli", work)
    _print_keys(account)


@keys_app.command("add")
def add_keys(client: ClientArgument, name: NameArgument, key_files: KeyFiles) -> None:
    """Let more keys open an account.

    Example: cdp sftp account keys add acme acme-crm new.pub
    """
    with refusals():
        added = public_keys(read_key_lines(key_files))

        def change(account: SftpAccount) -> SftpAccount:
            known = {key.blob: key for key in (*account.keys, *added)}
            return replace(account, keys=tuple(known.values()))

        account = _changed(client, name, change)
    _print_keys(account)


@keys_app.command("remove")
def remove_key(
    client: ClientArgument,
    name: NameArgument,
    fingerprint: Annotated[str, typer.Argument(help="As the list shows it.")],
) -> None:
    """Let a key open an account no longer. Sessions that came with it end.

    Example: cdp sftp account keys remove acme acme-crm SHA256:abc…
    """

    def change(account: SftpAccount) -> SftpAccount:
        left = tuple(key for key in account.keys if key.fingerprint != fingerprint)
        if left == account.keys:
            raise NotFound(f"No key of {name} has the fingerprint {fingerprint}.")
        return replace(account, keys=left)

    with refusals():
        account = _changed(client, name, change)
    _print_keys(account)


def read_account(lines: list[str], **given: str | None) -> NewSftpAccount:
    """The account that keys and options name.

    Raises:
        Invalid: they name none.
    """
    said: dict[str, Any] = {"keys": lines} | {k: v for k, v in given.items() if v is not None}
    try:
        return new_account_in(validate(SftpAccountIn, said))
    except Invalid as error:
        raise Invalid([replace(e, pointer=_option(e.pointer)) for e in error.errors]) from None


def _option(pointer: str) -> str:
    if pointer.startswith("/keys"):
        return "the keys"
    return "--" + pointer.removeprefix("/").replace("_", "-")


def read_key_lines(files: list[str]) -> list[str]:
    """The lines of these files that may be keys.

    Raises:
        Invalid: a file can't be read.
    """
    lines: list[str] = []
    for name in files:
        try:
            text = sys.stdin.read() if name == STANDARD_INPUT else Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise Invalid.at("", "file_unreadable", f"The file {name} can't be read.") from None
        text = text[:KEY_FILE_CHARS_MAX].strip()
        # A private key is one thing, so that it is told once what is wrong with it.
        found = [text] if "PRIVATE" in text else [line.strip() for line in text.splitlines()]
        lines += [line for line in found if line and not line.startswith("#")]
    return lines


def _changed(client: str, name: str, change: Change) -> SftpAccount:
    async def work(wiring: Wiring) -> SftpAccount:
        service: SftpAccountService = wiring.sftp_account_service()
        return await service.update(await _owner(wiring, client), name, change)

    return with_wiring("cli", work)


def _print_keys(account: SftpAccount) -> None:
    for key in account.keys:
        out.print(f"{key.algorithm} {key.fingerprint}", highlight=False, soft_wrap=True)


async def _owner(wiring: Wiring, client: str) -> ClientId:
    return (await wiring.access_service().client_named(client)).id
