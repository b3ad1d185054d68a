"""The description is true: no input gets a 5xx, and every answer is one that it names."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cdp.http.app import ROUTES
from cdp.http.openapi import document
from tests.integration.conftest import Embedded
from tests.integration.http.conftest import Tenant, make_tenant, served
from tests.integration.http.services import Api, build_api

EXAMPLES = 10
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# The stream goes on, and a caller who waits for its end would wait for long: its own tests are in
# test_inbox_stream.py.
schema = schemathesis.openapi.from_dict(document(ROUTES)).exclude(path="/inbox/stream")


@schemathesis.serializer("application/x-ndjson", "application/gzip", "application/zip")
def serialize_lines(_: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def elsewhere(migrated: Embedded) -> Iterator[dict[str, str]]:
    """The API in a thread with a loop of its own, since schemathesis blocks its own."""
    ready, leave = threading.Event(), threading.Event()
    found: dict[str, str] = {}

    async def serve() -> None:
        api = build_api(migrated.mongo_uri("platform"))
        async with served(api) as base, aiohttp.ClientSession() as session:
            tenant = await make_tenant(api, base, session)
            found.update(base=base, key=tenant.key)
            ready.set()
            await asyncio.to_thread(leave.wait)
        await api.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield found
    finally:
        leave.set()
        thread.join(20)


@pytest.fixture(scope="module")
def kept_open() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.mark.timeout(240)
@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_is_described(
    case: schemathesis.Case[Any], elsewhere: dict[str, str], kept_open: requests.Session
):
    response = case.call(
        base_url=elsewhere["base"],
        headers={"Authorization": f"Bearer {elsewhere['key']}"},
        session=kept_open,
    )

    case.validate_response(response, checks=CHECKS)


PROVIDER = {
    "name": "welcome",
    "kind": "sms.twilio",
    "settings": {"account_sid": "AC1", "auth_token": "t"},
}


def examples() -> Iterator[tuple[str, str, str, Any]]:
    for path, methods in document(ROUTES)["paths"].items():
        for method, operation in methods.items():
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                for example in body.get("examples", {}).values():
                    yield method.upper(), path, kind, example["value"]


@pytest.mark.parametrize(("method", "path", "kind", "body"), list(examples()))
async def test_every_example_is_accepted_as_it_stands(
    tenant: Tenant, api: Api, method, path, kind, body
):
    parts = {"email": {"subject": "Hi", "text": "{{ name }} of {{ shop }}"}}
    await tenant.call("PUT", "/templates/welcome", parts)
    sent = (await tenant.post("/communications", {
        "channel": "email", "to": [{"email": "a@b.example"}], "template": "welcome",
        "data": {"name": "Ada", "shop": "Example"},
    })).json  # fmt: skip
    known = sent["id"]
    if path.startswith("/delivery-configs/"):
        known = (await tenant.post("/delivery-configs", {"attempts_max": 3})).json["id"]
    if path == "/inbox/mark":
        entry = await api.put_into_inbox(tenant.client.id, "ada")
        body = body | ({"ids": [entry]} if "ids" in body else {"up_to": entry})
        path += "?user=ada"
    if path.startswith("/providers/"):
        await tenant.post("/providers", PROVIDER)
    if path.startswith("/campaigns/"):
        await tenant.call("PUT", "/campaigns/welcome", {})
    if path.startswith("/segments/"):
        await tenant.call("PUT", "/segments/welcome", {})
    path = path.replace("{id}", known).replace("{name}", "welcome")
    data = body.encode() if isinstance(body, str) else body

    answer = await tenant.call(method, path, data, headers={"Content-Type": kind})

    assert answer.status in (200, 201, 202, 207), answer.body
    if answer.status == 207:
        assert answer.json.get("rejected", 0) == 0


async def test_the_document_and_the_page_are_served_and_load_nothing(tenant: Tenant):
    described = await tenant.get("/openapi.json", Authorization="")
    page = await tenant.get("/docs", Authorization="")

    assert described.json["openapi"].startswith("3.1")
    assert set(described.json["paths"]) == {route.path for route in ROUTES}
    text = page.body.decode()
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "<script" not in text
    assert 'src="' not in text
    for route in ROUTES:
        assert f'id="{route.operation.id}"' in text
