"""The public endpoints: the pixel and the redirect. They take signed tokens and nothing else."""

from base64 import b64decode
from collections.abc import Callable
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from cdp.domain.visit import FACT_CHARS_MAX, Visit
from cdp.errors import NotFound, OutcomeUnknown
from cdp.services.delivery_tracking_service import DeliveryTrackingService

PIXEL: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one pixel."""
_HEADERS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex",
}
_PURPOSES: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")
"""Headers in which a visitor says that nobody has asked for this yet."""
_PAGE_HEADERS: Final = {
    **_HEADERS,
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
}
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Unsubscribe</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif }}
body {{ max-width: 32rem; margin: 20vh auto; padding: 0 1rem }}
button {{ font: inherit; padding: .5rem 1.5rem }}
</style>
{body}
</html>
"""
ASKING: Final = _PAGE.format(
    body="<h1>Unsubscribe?</h1><p>You will get no more messages of this kind.</p>"
    '<form method="post"><button>Unsubscribe</button></form>'
)
DONE: Final = _PAGE.format(body="<h1>Done</h1><p>You will get no more messages of this kind.</p>")


def build_app(
    service: DeliveryTrackingService,
    *,
    count: Callable[..., None],
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """The application behind `/t`.

    Args:
        service: answers the tokens.
        count: called with a metric's name and labels.
        lifespan: starts and stops what records.
    """

    async def pixel(request: Request) -> Response:
        service.opened(request.path_params["token"], _visit(request))
        count("cdp_engagements", event="OPENED")
        return Response(PIXEL, media_type="image/gif", headers=_HEADERS)

    async def click(request: Request) -> Response:
        target = await service.clicked(request.path_params["token"], _visit(request))
        count("cdp_engagements", event="CLICKED")
        return RedirectResponse(target, status_code=302, headers=_HEADERS)

    async def opt_out(request: Request) -> Response:
        # Only a POST acts: scanners follow every link that they see (RFC 8058, section 3.2).
        token = request.path_params["token"]
        if request.method != "POST":
            service.opt_out_of(token)
            return HTMLResponse(ASKING, headers=_PAGE_HEADERS)
        await service.unsubscribed(token, _visit(request))
        count("cdp_engagements", event="UNSUBSCRIBED")
        return HTMLResponse(DONE, headers=_PAGE_HEADERS)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[
            Route("/o/{token}.gif", pixel),
            Route("/c/{token}", click),
            Route("/u/{token}", opt_out, methods=["GET", "POST"]),
            Route("/healthz", alive),
        ],
        exception_handlers={NotFound: _not_found, 404: _not_found, OutcomeUnknown: _later},
        lifespan=lifespan,
    )


def _visit(request: Request) -> Visit:
    headers = request.headers
    return Visit(
        method=request.method,
        user_agent=headers.get("user-agent", "")[:FACT_CHARS_MAX],
        purpose=next((headers[name] for name in _PURPOSES if name in headers), "")[:FACT_CHARS_MAX],
    )


async def _not_found(_: Request, __: Exception) -> Response:
    return PlainTextResponse("There is no such link.", status_code=404, headers=_HEADERS)


async def _later(_: Request, __: Exception) -> Response:
    headers = {**_HEADERS, "retry-after": "2"}
    return PlainTextResponse("Please try again in a moment.", status_code=503, headers=headers)
