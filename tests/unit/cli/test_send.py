"""`cdp send` makes a request of its options, and the API client repeats only what it may."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from cdp.cli.api import Api, ApiRefusal, ApiUnreachable, retry_after_s, sentence_of
from cdp.cli.send import WrongOptions, request_of
from cdp.http.communication_models import CommunicationIn

NOTHING = {"subject": None, "text": None, "html": None}


def _request(**changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "to": "ada@example.org",
        "name": "",
        "content": {**NOTHING, "subject": "Hello", "text": "It works."},
        "template": None,
        "data": "{}",
        "priority": "normal",
        "send_at": None,
    }
    return request_of(**(options | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "Ada", "priority": "high", "send_at": "2030-01-31T08:00:00Z"},
        {"content": NOTHING, "template": "welcome", "data": '{"city": "Köln"}'},
    ],
    ids=["content", "all", "template"],
)
def test_the_request_is_one_that_the_api_takes(changes):
    CommunicationIn.model_validate_json(orjson.dumps(_request(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"content": NOTHING},
        {"template": "welcome"},
        {"content": NOTHING, "template": "welcome", "data": "[1]"},
        {"content": NOTHING, "template": "welcome", "data": "{"},
    ],
    ids=["nothing", "both", "no object", "no json"],
)
def test_options_that_do_not_fit_are_refused_in_one_sentence(changes):
    with pytest.raises(WrongOptions):
        _request(**changes)


class Server:
    """An API that answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.keys: list[str | None] = []
        self.base = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Idempotency-Key"))
        status, headers = self.answers.pop(0)
        return web.json_response({"detail": "busy"}, status=status, headers=headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/v1/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.base = f"http://{host}:{port}/v1"
    yield made
    await runner.cleanup()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, base=server.base, key="k", patience_s=5.0)


async def test_a_post_with_a_key_is_repeated_with_the_same_key_while_the_platform_is_full(
    server, api
):
    server.answers = [(503, {"Retry-After": "0"}), (429, {"Retry-After": "0"}), (202, {})]

    await api.post("/communications", {}, idempotency_key="one")

    assert server.keys == ["one", "one", "one"]
    assert api.repeats == 2


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500])
async def test_what_a_repeat_cannot_change_is_a_refusal_at_once(server, api, status):
    server.answers = [(status, {})]

    with pytest.raises(ApiRefusal) as refused:
        await api.post("/communications", {}, idempotency_key="one")

    assert refused.value.status == status


async def test_a_post_without_a_key_is_never_repeated(server, api):
    server.answers = [(503, {"Retry-After": "0"})]

    with pytest.raises(ApiRefusal):
        await api.post("/communications", {})


async def test_nobody_listening_is_told_in_a_sentence():
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ApiUnreachable, match="cdp up"):
            await Api(session, base="http://127.0.0.1:9/v1", key="k", patience_s=0.1).get("/x")


def test_a_retry_after_is_bounded():
    assert retry_after_s(None) == 0
    assert retry_after_s("Wed, 21 Oct 2030") == 0
    assert retry_after_s("1") == 1
    assert retry_after_s("3600") <= 5


def test_a_problem_is_one_sentence_with_its_fields():
    problem = {
        "detail": "What was sent is not valid.",
        "errors": [{"pointer": "/to/0/email", "detail": "there is no @"}],
    }

    assert sentence_of(422, problem) == (
        "The API answered 422: What was sent is not valid. /to/0/email: there is no @"
    )
