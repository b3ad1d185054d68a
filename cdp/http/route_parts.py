"""What the tables of routes share: parameters, and the problems that most routes may answer."""

from collections.abc import Mapping
from typing import Any, Final

from cdp.http.pagination import LIMIT_DEFAULT, LIMIT_MAX

Parameter = Mapping[str, Any]

READS: Final = (401, 404, 422, 429, 503)
WRITES: Final = (400, 401, 408, 409, 413, 415, 422, 429, 503)
LISTS: Final = (400, 401, 422, 429, 503)


def query_parameter(name: str, description: str, **schema: Any) -> Parameter:
    """A parameter in the query; text unless `schema` says otherwise."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def paging(*, default: int = LIMIT_DEFAULT, most: int = LIMIT_MAX) -> tuple[Parameter, ...]:
    """`limit` and `cursor`."""
    limit = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return (
        query_parameter("limit", "Entries of a page.", **limit),
        query_parameter("cursor", "The `next_cursor` of the page before.", maxLength=400),
    )
