"""`cdp client` and `cdp key`: who may use the platform.

A key's text is shown at the moment when it is made and never again.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from cdp.cli.shell import err, out, refusals, settings, with_wiring
from cdp.domain.client import ApiKey, Client
from cdp.domain.ids import text_of
from cdp.embedded.state import StateFolder, write_atomically
from cdp.errors import FieldError, Invalid, NotFound
from cdp.settings import Environment
from cdp.wiring import Wiring

KEY_FILE: Final = "api-key"
"""In the state folder: the first client's first key, so that `cdp send` works without typing it."""

_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([hd])")
_UNSAFE_IN_DOMAIN: Final = re.compile(r"[^a-z0-9]+")

client_app = typer.Typer(help="Add and list clients.", no_args_is_help=True)
key_app = typer.Typer(help="Add, list and revoke API keys.", no_args_is_help=True)


@client_app.command("create")
def create_client(
    name: Annotated[str, typer.Argument(help="The client's name.")],
    sender_email: Annotated[
        str | None, typer.Option(help="Address that its emails come from.")
    ] = None,
    sender_name: Annotated[str | None, typer.Option(help="Name beside that address.")] = None,
) -> None:
    """Add a client with the sender of its emails.

    Example: cdp client create acme --sender-email hello@acme.example --sender-name Acme
    """
    email = sender_email or sender_of(name)

    async def work(wiring: Wiring) -> Client:
        access = wiring.access_service()
        client = await access.create_client(name)
        await access.set_sender(client.id, email=email, name=sender_name or name)
        return client

    with refusals():
        client = with_wiring("cli", work)
    out.print(f"Client {client.name}, sending as {sender_name or name} <{email}>.", highlight=False)
    out.print(f"Next: cdp key create {client.name}", style="dim", highlight=False)


@client_app.command("change")
def change_client(
    name: Annotated[str, typer.Argument(help="The client's name.")],
    offers_unsubscribe: Annotated[
        bool,
        typer.Option(
            "--offer-unsubscribe/--no-offer-unsubscribe",
            help="Whether all of its emails carry the way out by one click; those with a topic "
            "always do.",
        ),
    ],
) -> None:
    """Change what is set for a client.

    Example: cdp client change acme --offer-unsubscribe
    """

    async def work(wiring: Wiring) -> None:
        access = wiring.access_service()
        client = await access.client_named(name)
        await access.set_offers_unsubscribe(client.id, offers_unsubscribe)

    with refusals():
        with_wiring("cli", work)
    carried = "all emails" if offers_unsubscribe else "emails with a topic"
    out.print(f"Of {name} {carried} carry the way out, within two seconds.", highlight=False)


@client_app.command("list")
def list_clients() -> None:
    """Show all clients.

    Example: cdp client list
    """

    async def work(wiring: Wiring) -> list[Client]:
        return await wiring.access_service().clients()

    with refusals():
        clients = with_wiring("cli", work)
    table = Table(
        "client",
        "created",
        "tracks opens",
        "tracks clicks",
        "unsubscribe",
        box=None,
        pad_edge=False,
    )
    # Whole, since it is copied to the keys of files that are put into object storage.
    table.add_column("id", no_wrap=True)
    for client in clients:
        table.add_row(
            client.name,
            _day(client.created_at),
            _yes(client.track_opens),
            _yes(client.track_clicks),
            "all emails" if client.offers_unsubscribe else "with a topic",
            text_of(client.id),
        )
    out.print(table if clients else "No clients yet: cdp client create NAME")


@key_app.command("create")
def create_key(
    client: Annotated[str, typer.Argument(help="The client's name.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "",
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 12h, 90d, or a day such as 2030-01-31.")
    ] = None,
) -> None:
    """Make an API key and show it, this once.

    Example: cdp key create acme --name website --expires 90d
    """
    with refusals():
        expires_at = None if expires is None else expiry(expires, now=datetime.now(UTC))

        async def work(wiring: Wiring) -> str:
            access = wiring.access_service()
            owner = await access.client_named(client)
            return (await access.create_key(owner.id, name=name, expires_at=expires_at)).text

        text = with_wiring("cli", work)
    out.print(text, highlight=False, soft_wrap=True)
    # Not on standard output, so that KEY=$(cdp key create acme) is the key and nothing else.
    err.print("Keep it now: it is not shown again.", style="dim")


@key_app.command("list")
def list_keys(client: Annotated[str, typer.Argument(help="The client's name.")]) -> None:
    """Show a client's keys, without their secrets.

    Example: cdp key list acme
    """

    async def work(wiring: Wiring) -> list[ApiKey]:
        access = wiring.access_service()
        return await access.keys((await access.client_named(client)).id)

    with refusals():
        keys = with_wiring("cli", work)
    table = Table("key", "for", "created", "state", box=None, pad_edge=False)
    for key in keys:
        table.add_row(key.key_id, key.name, _day(key.created_at), key_state(key, datetime.now(UTC)))
    out.print(table if keys else f"No keys yet: cdp key create {client}", highlight=False)


@key_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `cdp key list` shows it.")],
) -> None:
    """Make a key worthless, within 2 seconds.

    Example: cdp key revoke 0123456789abcdef
    """

    async def work(wiring: Wiring) -> None:
        await wiring.access_service().revoke_key(key_id)

    with refusals():
        with_wiring("cli", work)
    out.print(f"Key {key_id} is revoked.", highlight=False)


def ensure_client(name: str) -> str | None:
    """Add this client with a sender if it is missing.

    Returns:
        A fresh key's text the first time; it is kept in the state folder for `cdp send`.
    """

    async def work(wiring: Wiring) -> str | None:
        access = wiring.access_service()
        try:
            await access.client_named(name)
        except NotFound:
            client = await client_with_sender(wiring, name)
            return (await access.create_key(client.id, name="first key")).text
        return None

    text = with_wiring("cli", work)
    if text is not None:
        keep_key(text)
    return text


async def client_with_sender(
    wiring: Wiring, name: str, *, sender_email: str | None = None, sender_name: str | None = None
) -> Client:
    """The client of this name, added if it is missing, with its sender set."""
    access = wiring.access_service()
    try:
        client = await access.client_named(name)
    except NotFound:
        client = await access.create_client(name)
    await access.set_sender(
        client.id, email=sender_email or sender_of(name), name=sender_name or name
    )
    return client


def sender_of(client_name: str) -> str:
    """The sender of a client that named none."""
    domain = _UNSAFE_IN_DOMAIN.sub("-", client_name.lower()).strip("-")[:60].strip("-")
    return f"no-reply@{domain or 'client'}.example"


def expiry(text: str, *, now: datetime) -> datetime:
    """The moment that `12h`, `90d` or `2030-01-31` means.

    Raises:
        Invalid: it means none, or one that has passed.
    """
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            hours = int(span[1]) * (24 if span[2] == "d" else 1)
            return now + timedelta(hours=hours)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise _refused("Give 12h, 90d, or a day such as 2030-01-31.") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise _refused(f"{text} has passed.")
    return moment


def _refused(sentence: str) -> Invalid:
    error = FieldError(pointer="--expires", code="invalid", detail=sentence)
    return Invalid([error], sentence)


def key_state(key: ApiKey, now: datetime) -> str:
    """Whether a key works, in words."""
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is None:
        return "in force"
    word = "expired" if key.expires_at <= now else "until"
    return f"{word} {_day(key.expires_at)}"


def keep_key(text: str) -> None:
    """Keep a key in the state folder; never of a platform in production."""
    chosen = settings()
    if chosen.env is not Environment.PRODUCTION:
        write_atomically(_key_file(chosen.state_dir), f"{text}\n")


def kept_key() -> str | None:
    """The key of the state folder, if one is kept there."""
    try:
        return _key_file(settings().state_dir).read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _key_file(state_dir: Path) -> Path:
    return StateFolder.open(state_dir).root / KEY_FILE


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
