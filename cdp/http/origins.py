"""Pages of other origins: which of them may call the routes for recipients (Fetch, CORS)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from starlette.types import Scope

from cdp.http.answer import Answer
from cdp.http.call import ApiServices

PREFLIGHT_AGE_S: Final = b"600"
VARY: Final = (b"vary", b"Origin")
EXPOSED: Final = (b"access-control-expose-headers", b"Retry-After")


def preflight_answer(services: ApiServices, scope: Scope, methods: Iterable[str]) -> Answer:
    """What a browser is told before it lets a page call us."""
    answer = shared_with_origin(Answer(status=204, body=b""), services, scope)
    return replace(
        answer,
        headers=(
            *answer.headers,
            (b"access-control-allow-methods", ", ".join(sorted(methods)).encode()),
            (b"access-control-allow-headers", b"Authorization, Content-Type, Last-Event-ID"),
            (b"access-control-max-age", PREFLIGHT_AGE_S),
        ),
    )


def shared_with_origin(answer: Answer, services: ApiServices, scope: Scope) -> Answer:
    """The answer, readable by the page that asks if its origin is one of ours."""
    origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
    if origin not in services.origins:
        return replace(answer, headers=(*answer.headers, VARY))
    allowed = (b"access-control-allow-origin", origin.encode("latin-1"))
    return replace(answer, headers=(*answer.headers, VARY, allowed, EXPOSED))
