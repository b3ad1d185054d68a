"""Each call of the API that a page of the docs shows is one that the API takes."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.http.conftest import Tenant

DOCS = Path(__file__).parents[3] / "docs"
SHELL = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"^ *curl .*?(?=^ *(?:curl|cdp|\.venv)\b|^#|\Z)", re.MULTILINE | re.DOTALL)
NO_ID = "01900000-0000-7000-8000-000000000000"
WITH_JQ = "dkim.md"
"""Its body is made by another program."""
FILES = {
    "bounced.csv": "recipient\nada@example.org\n",
    "examples/uploads/appointments.csv": "email\nada@example.org\n",
    "examples/uploads/appointments.ndjson": '{"channel": "email"}\n',
}
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIHSYgFYu5/JlPcMNUkBIxQyzEQa/s+U088wVcBG1/xv"
FORM = "multipart/form-data; boundary=cut"


@dataclass
class Shown:
    """One `curl` of a page."""

    method: str = "GET"
    path: str = ""
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def shown(text: str) -> Iterator[Shown]:
    for block in SHELL.findall(text):
        for line in CALL.findall(block.replace("\\\n", " ")):
            yield parsed(shlex.split(line, comments=True)[1:])


def parsed(words: list[str]) -> Shown:
    call, rest = Shown(), iter(words)
    for word in rest:
        match word:
            case "-X":
                call.method = next(rest)
            case "-d" | "--data-binary":
                given = next(rest).replace("$(cat id_ed25519.pub)", PUBLIC_KEY)
                call.body = FILES[given[1:]] if given.startswith("@") else given
                call.method = "POST" if call.method == "GET" else call.method
            case "-F":
                name, _, value = next(rest).partition("=")
                value = "email\nfile@example.org\n" if value.startswith("@") else value
                head = f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
                call.body = f"{call.body or ''}{head}{value}\r\n"
                call.method, call.headers["Content-Type"] = "POST", FORM
            case "-H":
                name, _, value = next(rest).partition(": ")
                call.headers[name] = value
            case _ if word.startswith("$API"):
                call.path = re.sub(r"/ID\b", f"/{NO_ID}", word.removeprefix("$API"))
    if call.headers.get("Content-Type") == FORM:
        call.body = f"{call.body}--cut--\r\n"
    # The key of the page's reader is not that of this test's client.
    del call.headers["Authorization"]
    return call


PAGES = sorted(
    page.relative_to(DOCS)
    for page in DOCS.rglob("*.md")
    if page.name != WITH_JQ and any(shown(page.read_text(encoding="utf-8")))
)


async def prepare(tenant: Tenant) -> None:
    """What the pages take for granted."""
    for name in ("welcome", "spring-vip"):
        content = {"email": {"subject": "Hello", "text": "Hello"}}
        assert (await tenant.call("PUT", f"/templates/{name}", content)).status == 201
    assert (await tenant.call("PUT", "/segments/vip", {})).status == 201
    assigned = {"channel": "email", "template": "welcome"}
    assert (await tenant.call("PUT", "/segments/vip/assignments", assigned)).status == 200
    account = {"region": "eu-central-1", "access_key_id": "AKIA", "secret_access_key": "x"}
    for provider in (
        {"name": "sns", "kind": "sms.sns", "settings": account},
        {
            "name": "twilio",
            "kind": "sms.twilio",
            "settings": {"account_sid": "AC", "auth_token": "x"},
        },
    ):
        assert (await tenant.post("/providers", provider)).status == 201


@pytest.mark.parametrize("page", PAGES, ids=str)
async def test_what_a_page_shows_is_taken(tenant: Tenant, page: Path):
    await prepare(tenant)
    refused = []
    for call in shown((DOCS / page).read_text(encoding="utf-8")):
        body = None if call.body is None else call.body.encode()
        got = await tenant.call(call.method, call.path, body, headers=call.headers)
        # A provider of this name is there; the folder of this test's files has no URLs.
        is_refused_here = got.status == 409 and call.path in ("/providers", "/file-uploads")
        if got.status >= 400 and NO_ID not in call.path and not is_refused_here:
            refused.append((call, got.status, got.body))

    assert refused == []


def test_the_calls_of_many_pages_are_found():
    assert len(PAGES) >= 10
    [call] = shown(
        "```sh\ncurl -s \"$API/dead-letters/ID\" \\\n  -H 'Authorization: x' -d '{}'\n```"
    )
    assert (call.method, call.path, call.body) == ("POST", f"/dead-letters/{NO_ID}", "{}")
