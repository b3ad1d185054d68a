"""What stands around every handler: limits, authentication, refusals, counting.

A route is one method of one path. `PathEndpoint` is the ASGI application of a path; it runs the
route's handler and turns whatever comes of it into exactly one answer.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from cdp.errors import CdpError, OutcomeUnknown, PlatformFull
from cdp.http.answer import Answer
from cdp.http.authentication import authenticate
from cdp.http.call import ApiServices, Call, Handler
from cdp.http.problems import MethodNotAllowed, problem_answer

log = logging.getLogger(__name__)

DEADLINE_S: Final = 45.0
BATCH_DEADLINE_S: Final = 180.0
BUSY_RETRY_S: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the OpenAPI document says of a route."""

    id: str
    summary: str
    tag: str
    description: str = ""
    parameters: Sequence[Mapping[str, Any]] = ()
    body: type[BaseModel] | None = None
    bodies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Request bodies by content type, where one model does not say it."""
    examples: Mapping[str, Any] = field(default_factory=dict)
    """Of the body, by name."""
    answers: Mapping[int, type[BaseModel] | None] = field(default_factory=dict)
    """By status; None has no body."""
    texts: Sequence[str] = ()
    """Content types of a 200 that no model describes."""
    problems: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    operation: Operation
    open: bool = False
    """Whether it answers without an API key."""
    deadline_s: float = DEADLINE_S

    @property
    def name(self) -> str:
        """As the metrics call it."""
        return f"{self.method} {self.path}"


class Gate:
    """How many requests are in flight in this process; beyond its bound none is let in."""

    def __init__(self, most: int) -> None:
        self._free = most

    def enter(self) -> bool:
        """Take a place, if there is one."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    def leave(self) -> None:
        """Give the place back."""
        self._free += 1


class PathEndpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(self, routes: Sequence[Route], services: ApiServices, gate: Gate) -> None:
        self._routes = {route.method: route for route in routes}
        if "GET" in self._routes:
            # The server leaves the body out.
            self._routes["HEAD"] = self._routes["GET"]
        self._services = services
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        route = self._routes.get(scope["method"])
        if route is None:
            name = "other"
            answer = problem_answer(MethodNotAllowed(sorted(self._routes)))
        else:
            name = route.name
            answer = await self._within_limits(route, scope, receive)
        metrics = self._services.metrics
        metrics.count("cdp_http_requests", route=name, status=str(answer.status))
        metrics.observe("cdp_http_seconds", loop.time() - began, route=name)
        await answer.send(send)

    async def _within_limits(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        if not route.open and not self._gate.enter():
            busy = PlatformFull("Too many requests are in flight.", retry_after_s=BUSY_RETRY_S)
            return problem_answer(busy)
        call = Call(
            scope=scope, receive=receive, services=self._services, headers=dict(scope["headers"])
        )
        try:
            async with asyncio.timeout(route.deadline_s):
                if not route.open:
                    await authenticate(call)
                return await route.handler(call)
        except CdpError as error:
            return self._refused(error)
        except TimeoutError:
            return self._refused(OutcomeUnknown("This took too long."))
        except Exception:
            log.exception("a request failed", extra={"route": route.name})
            return self._refused(CdpError())
        finally:
            if not route.open:
                self._gate.leave()

    def _refused(self, error: CdpError) -> Answer:
        answer = problem_answer(error)
        self._services.metrics.count("cdp_rejected", code=str(answer.status))
        return answer
