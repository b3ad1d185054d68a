"""What stands in a path or a query, checked."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TypeVar

from cdp.domain.ids import id_from_text
from cdp.errors import FieldError, Invalid, NotFound
from cdp.http.call import Call
from cdp.http.models import NAME_PATTERN, parse_time

T = TypeVar("T")

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
    return checked_name(call.path("name"))


def checked_name(name: str) -> str:
    """A name that something may have.

    Raises:
        Invalid: nothing can.
    """
    if not _NAME.fullmatch(name):
        raise Invalid.at("name", "name_invalid", "A name is letters, digits, dot, dash, underline.")
    return name


class QueryReader:
    """Reads the parameters of a query one by one, and keeps what is wrong with them."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self._errors: list[FieldError] = []

    def read(self, name: str, convert: Callable[[str], T], expected: str) -> T | None:
        """The parameter as `convert` makes it; None where it is not there, or is wrong."""
        text = self._query.get(name)
        if text is None:
            return None
        try:
            if "\0" in text:
                raise ValueError
            return convert(text)
        except ValueError:
            self._errors.append(FieldError(pointer=name, code="invalid", detail=expected))
            return None

    def text(self, name: str) -> str | None:
        """A parameter that may be any text."""
        return self.read(name, str, "Text without NUL.")

    def time(self, name: str) -> datetime | None:
        """A parameter that is a time."""
        return self.read(name, parse_time, "A time as in RFC 3339 with an offset.")

    def require_valid(self) -> None:
        """Refuse the query if anything of it was wrong.

        Raises:
            Invalid: with each that is.
        """
        if self._errors:
            raise Invalid(self._errors)


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
