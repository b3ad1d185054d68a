"""Every route asks for an API key, or is listed here as open to everybody."""

import dataclasses
from typing import Any

import pytest

from cdp.http.app import ROUTES, ApiServices, build_app
from cdp.http.openapi import document
from cdp.ports.clock import SystemClock
from cdp.services.access_service import AccessService
from cdp.services.inbox_service import InboxTokens
from cdp.telemetry import Telemetry

OPEN = {
    "GET /docs",
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
}


class Nothing:
    """Stands for all that must not be reached without a key: its methods can't be called."""

    def __getattr__(self, name):
        return Nothing()


NOTHING: Any = Nothing()


def services():
    """The API's services, of which only authentication works."""
    access = AccessService(
        clients=NOTHING,
        keys=NOTHING,
        senders=NOTHING,
        pepper=b"pepper",
        clock=SystemClock(),
        random_bytes=bytes,
    )
    given = {f.name: NOTHING for f in dataclasses.fields(ApiServices)}
    tokens = InboxTokens(key=b"k" * 32, clock=SystemClock())
    given |= {
        "inbox_tokens": tokens,
        "origins": frozenset(),
        "access": access,
        "metrics": Telemetry(),
        "requests_max": 10,
    }
    return ApiServices(**given)


async def answered(app, route, headers):
    """The status of the answer to a request without a body."""
    statuses = []
    path = route.path.replace("{id}", "01900000-0000-7000-8000-000000000000")
    path = path.replace("{name}", "welcome").replace("{version}", "1")
    assert "{" not in path
    scope = {
        "type": "http",
        "method": route.method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    [status] = statuses
    return status


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
@pytest.mark.parametrize(
    "headers",
    [[], [(b"authorization", b"Bearer cdp_live_nonsense")], [(b"authorization", b"Basic eDp5")]],
    ids=["no key", "no key of ours", "another scheme"],
)
async def test_a_route_asks_for_a_key_or_is_listed_as_open(route, headers):
    status = await answered(build_app(services()), route, headers)

    assert (status == 401) == (route.name not in OPEN), status


def test_nothing_is_listed_as_open_that_is_no_route():
    assert {route.name for route in ROUTES} >= OPEN


def test_every_route_is_in_the_openapi_document():
    paths = document(ROUTES)["paths"]
    described = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}

    assert {route.name for route in ROUTES} - described == set()
