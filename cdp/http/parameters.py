"""What stands in a path or a query, checked."""

import re
from typing import Final

from cdp.domain.ids import id_from_text
from cdp.errors import FieldError, Invalid, NotFound
from cdp.http.call import Call
from cdp.http.models import NAME_PATTERN

_NAME: Final = re.compile(NAME_PATTERN)


def id_in_path(call: Call) -> bytes:
    """The id that the path names.

    Raises:
        NotFound: it is no id at all.
    """
    try:
        return id_from_text(call.path("id"))
    except ValueError:
        raise NotFound from None


def name_in_path(call: Call) -> str:
    """The name in the path.

    Raises:
        NotFound: nothing can have it.
    """
    name = call.path("name")
    if not _NAME.fullmatch(name):
        raise NotFound
    return name


def new_name_in_path(call: Call) -> str:
    """The name in the path of what may not be there yet.

    Raises:
        Invalid: nothing can have it.
    """
    try:
        return name_in_path(call)
    except NotFound:
        raise Invalid.at(
            "name", "name_invalid", "A name is letters, digits, dot, dash, underline."
        ) from None


def known_parameters(call: Call, known: frozenset[str]) -> None:
    """Refuse a query parameter that would be ignored.

    Raises:
        Invalid: there is one.
    """
    errors = [
        FieldError(pointer=name[:100], code="unknown", detail="There is no such parameter here.")
        for name in call.query
        if name not in known
    ]
    if errors:
        raise Invalid(errors)
