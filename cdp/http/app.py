"""The Client API as an ASGI application: every route in one table.

It works below `/v1` as well when a server has mounted it there (`root_path`) as when it stands
alone, since Starlette takes the mount off the path.
"""

from collections.abc import Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from cdp.errors import NotFound
from cdp.http import routes
from cdp.http.call import ApiServices
from cdp.http.documentation import documentation_routes
from cdp.http.endpoint import Gate, PathEndpoint, Route
from cdp.http.problems import problem_answer

__all__ = ["PREFIX", "ROUTES", "ApiServices", "build_app", "mounted"]

PREFIX: Final = "/v1"
ROUTES: Final[Sequence[Route]] = (*routes.ROUTES, *documentation_routes(routes.ROUTES))


class _Api(Starlette):
    """Routing alone: every path of ours catches and answers what goes wrong in it."""

    def build_middleware_stack(self) -> ASGIApp:
        """Without the layers that look for exceptions a second and a third time."""
        self.router.default = _not_found
        # A path with a slash too many is another path, and there is none.
        self.router.redirect_slashes = False
        return self.router


def build_app(services: ApiServices) -> Starlette:
    """The application, whose paths begin behind `/v1`."""
    gate = Gate(services.requests_max)
    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append(route)
    return _Api(
        routes=[
            StarletteRoute(path, PathEndpoint(of_path, services, gate))
            for path, of_path in by_path.items()
        ]
    )


def mounted(app: ASGIApp) -> Starlette:
    """The application below `/v1`, for a server that mounts nothing itself."""
    return _Api(routes=[Mount(PREFIX, app)])


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await problem_answer(NotFound("There is no such path.")).send(send)
    else:
        await send({"type": "websocket.close", "code": 1000})
