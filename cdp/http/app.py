"""The Client API as an ASGI application: every route in one table.

It works below `/v1` as well when a server has mounted it there (`root_path`) as when it stands
alone, since Starlette takes the mount off the path.
"""

from collections.abc import Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from cdp.errors import NotFound
from cdp.http import routes
from cdp.http.call import ApiServices
from cdp.http.documentation import documentation_routes
from cdp.http.endpoint import Gate, PathEndpoint, Route
from cdp.http.problems import CONTENT_TYPE, problem_answer

__all__ = ["PREFIX", "ROUTES", "ApiServices", "build_app", "mounted"]

PREFIX: Final = "/v1"
ROUTES: Final[Sequence[Route]] = (*routes.ROUTES, *documentation_routes(routes.ROUTES))


def build_app(services: ApiServices) -> Starlette:
    """The application, whose paths begin behind `/v1`."""
    gate = Gate(services.requests_max)
    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append(route)
    app = Starlette(
        routes=[
            StarletteRoute(path, PathEndpoint(of_path, services, gate))
            for path, of_path in by_path.items()
        ],
        exception_handlers={HTTPException: _not_found},
    )
    # A path with a slash too many is another path, and there is none.
    app.router.redirect_slashes = False
    return app


def mounted(app: ASGIApp) -> Starlette:
    """The application below `/v1`, for a server that mounts nothing itself."""
    outer = Starlette(routes=[Mount(PREFIX, app)], exception_handlers={HTTPException: _not_found})
    outer.router.redirect_slashes = False
    return outer


async def _not_found(_: Request, __: Exception) -> Response:
    answer = problem_answer(NotFound("There is no such path."))
    return Response(answer.body, answer.status, media_type=CONTENT_TYPE.decode())
