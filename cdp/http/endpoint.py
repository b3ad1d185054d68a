"""What stands around every handler: limits, authentication, refusals, counting.

A route is one method of one path. `PathEndpoint` is the ASGI application of a path; it runs the
route's handler and turns whatever comes of it into exactly one answer.
"""

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from cdp.errors import BacklogFull, CdpError, OutcomeUnknown, PlatformFull
from cdp.http.answer import Answer
from cdp.http.authentication import authenticate, authenticate_recipient
from cdp.http.call import ApiServices, Call, Handler
from cdp.http.origins import preflight_answer, shared_with_origin
from cdp.http.problems import MethodNotAllowed, problem_answer

log = logging.getLogger(__name__)

DEADLINE_S: Final = 45.0
BATCH_DEADLINE_S: Final = 180.0
BUSY_RETRY_S: Final = 1
CLIENT_SHARE: Final = 0.8
"""Of the places in flight that one client may have."""


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
    for_recipients: bool = False
    """Whether a recipient's own token opens it, also from a page of the client's."""
    deadline_s: float = DEADLINE_S

    @property
    def name(self) -> str:
        """As the metrics call it."""
        return f"{self.method} {self.path}"


class Gate:
    """How many requests are in flight in this process, in all and of one client.

    Beyond its bound none is let in, and no client can hold every place: one that sends its bodies
    slowly would keep the others out.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._client_most = max(1, int(most * CLIENT_SHARE))
        self._by_client: Counter[bytes] = Counter()

    def enter(self) -> None:
        """Take a place.

        Raises:
            PlatformFull: there is none.
        """
        if self._free == 0:
            raise PlatformFull("Too many requests are in flight.", retry_after_s=BUSY_RETRY_S)
        self._free -= 1

    def leave(self) -> None:
        """Give the place back."""
        self._free += 1

    def enter_client(self, client_id: bytes) -> None:
        """Count a request that is in as one of this client's.

        Raises:
            BacklogFull: it has as many as one client may have.
        """
        if self._by_client[client_id] >= self._client_most:
            raise BacklogFull(
                "Too many requests of this client are in flight.", retry_after_s=BUSY_RETRY_S
            )
        self._by_client[client_id] += 1

    def leave_client(self, client_id: bytes) -> None:
        """Count it no longer."""
        self._by_client[client_id] -= 1
        if not self._by_client[client_id]:
            del self._by_client[client_id]


class PathEndpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(self, routes: Sequence[Route], services: ApiServices, gate: Gate) -> None:
        self._routes = {route.method: route for route in routes}
        if "GET" in self._routes:
            # The server leaves the body out.
            self._routes["HEAD"] = self._routes["GET"]
        self._is_for_recipients = any(route.for_recipients for route in routes)
        self._services = services
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        route = self._routes.get(scope["method"])
        if route is None and scope["method"] == "OPTIONS" and self._is_for_recipients:
            name = "OPTIONS"
            answer = preflight_answer(self._services, scope, self._routes)
        elif route is None:
            name = "other"
            answer = problem_answer(MethodNotAllowed(sorted(self._routes)))
        else:
            name = route.name
            answer = await self._within_limits(route, scope, receive)
            if route.for_recipients:
                answer = shared_with_origin(answer, self._services, scope)
        metrics = self._services.metrics
        metrics.count("cdp_http_requests", route=name, status=str(answer.status))
        metrics.observe("cdp_http_seconds", loop.time() - began, route=name)
        await answer.send(send)

    async def _within_limits(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        call = Call(
            scope=scope, receive=receive, services=self._services, headers=dict(scope["headers"])
        )
        try:
            async with asyncio.timeout(route.deadline_s):
                return await (route.handler(call) if route.open else self._let_in(route, call))
        except CdpError as error:
            return self._refused(error)
        except TimeoutError:
            return self._refused(OutcomeUnknown("This took too long."))
        except Exception as error:
            # The message of an error may hold what was sent, so it is left out.
            log.error(
                "a request failed",
                extra={
                    "route": route.name,
                    "error": type(error).__name__,
                    "trace": traceback.format_tb(error.__traceback__),
                },
            )
            return self._refused(CdpError("The request failed here; it may be repeated."))

    async def _let_in(self, route: Route, call: Call) -> Answer:
        self._gate.enter()
        try:
            if route.for_recipients:
                await authenticate_recipient(call)
                client_id = call.recipient.client_id
            else:
                await authenticate(call)
                client_id = call.caller.client.id
            self._gate.enter_client(client_id)
            try:
                return await route.handler(call)
            finally:
                self._gate.leave_client(client_id)
        finally:
            self._gate.leave()

    def _refused(self, error: CdpError) -> Answer:
        answer = problem_answer(error)
        self._services.metrics.count("cdp_rejected", code=str(answer.status))
        return answer
