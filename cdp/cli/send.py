"""`cdp send`: one email, as a client's program would send it."""

import asyncio
import json
from typing import Annotated, Any
from uuid import uuid4

import aiohttp
import typer

from cdp.cli.api import Api
from cdp.cli.clients import kept_key
from cdp.cli.shell import out, refusals, settings
from cdp.errors import CdpError
from deployments.local_cluster import Addresses, LocalCluster


class WrongOptions(CdpError):
    """The options do not fit together."""


def send(
    to: Annotated[str, typer.Option(help="The recipient's address.")],
    name: Annotated[str, typer.Option(help="The recipient's name.")] = "",
    subject: Annotated[str | None, typer.Option(help="The subject, with --text or --html.")] = None,
    text: Annotated[str | None, typer.Option(help="The text.")] = None,
    html: Annotated[str | None, typer.Option(help="The HTML.")] = None,
    template: Annotated[
        str | None, typer.Option(help="A template's name, instead of a content.")
    ] = None,
    data: Annotated[str, typer.Option(help="JSON object for the template.")] = "{}",
    priority: Annotated[str, typer.Option(help="high, normal or low.")] = "normal",
    send_at: Annotated[
        str | None, typer.Option(help="When to send it, such as 2030-01-31T08:00:00Z.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="API key; without it the state folder's first key.")
    ] = None,
) -> None:
    """Send one email through the running platform.

    Example: cdp send --to ada@example.org --subject Hello --text "It works."
    """
    with refusals():
        request = request_of(
            to=to,
            name=name,
            content={"subject": subject, "text": text, "html": html},
            template=template,
            data=data,
            priority=priority,
            send_at=send_at,
        )
        api_key = key or kept_key()
        if api_key is None:
            raise WrongOptions("No API key is kept here: give --key, made by cdp key create.")
        addresses = LocalCluster(settings()).addresses()
        accepted = asyncio.run(_post(addresses, api_key, request))
        _tell(addresses, accepted, send_at)


def request_of(
    *,
    to: str,
    name: str,
    content: dict[str, str | None],
    template: str | None,
    data: str,
    priority: str,
    send_at: str | None,
) -> dict[str, Any]:
    """The request that the options describe.

    Raises:
        WrongOptions: they describe none.
    """
    given = {part: value for part, value in content.items() if value is not None}
    if (template is None) == (not given):
        raise WrongOptions("Give either --template, or --subject with --text or --html.")
    recipient: dict[str, Any] = {"email": to}
    if name:
        recipient["name"] = name
    request: dict[str, Any] = {"channel": "email", "to": [recipient], "priority": priority}
    if template is None:
        request["content"] = given
    else:
        request["template"] = template
        request["data"] = _object(data)
    if send_at is not None:
        request["send_at"] = send_at
    return request


def _object(data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise WrongOptions(f"--data is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise WrongOptions('--data must be a JSON object, such as {"city": "Köln"}.')
    return value


async def _post(addresses: Addresses, key: str, request: dict[str, Any]) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        api = Api(session, base=addresses.api, key=key, patience_s=10.0)
        answer: dict[str, Any] = await api.post(
            "/communications", request, idempotency_key=str(uuid4())
        )
        return answer


def _tell(addresses: Addresses, accepted: dict[str, Any], send_at: str | None) -> None:
    when = "" if send_at is None else f", to be sent at {send_at}"
    url = f"{addresses.api}/communications/{accepted['id']}"
    out.print(f"Accepted{when}: [bold]{accepted['id']}[/bold]", highlight=False)
    log = f'Its log:  curl -H "Authorization: Bearer $KEY" {url}/events'
    out.print(log, highlight=False, soft_wrap=True)
    if addresses.mailbox:
        out.print(f"Mailbox:  {addresses.mailbox}", highlight=False)
