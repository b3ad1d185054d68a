"""Reads a request's body as one model."""

from typing import Final

from cdp.http.body import SINGLE_BYTES_MAX, Body, media_type
from cdp.http.call import Call
from cdp.http.json_input import M, parse

JSON: Final = "application/json"


async def json_body(call: Call, model: type[M]) -> M:
    """The model that the body is.

    Raises:
        UnsupportedMediaType: it is not said to be JSON.
        Malformed: it is not JSON, or its bytes could not be read.
        PayloadTooLarge: it is larger than a single body may be.
        Invalid: it is not this model; with everything that is wrong.
    """
    media_type(call.headers, JSON)
    raw = await Body(call.headers, call.receive, limit=SINGLE_BYTES_MAX).read()
    return parse(model, raw)
