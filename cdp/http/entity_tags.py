"""Optimistic concurrency: `ETag` says a version, `If-Match` asks for it (RFC 9110, 13.1.1)."""

from collections.abc import Container, Mapping
from typing import Final

from cdp.http.answer import Answer, json_answer


def tagged_answer(content: Mapping[str, object], version: int, *, status: int = 200) -> Answer:
    """An answer in JSON, with its version as the entity tag."""
    return json_answer(content, status=status, headers=((b"etag", b'"%d"' % version),))


def versions_asked_for(headers: Mapping[bytes, bytes]) -> Container[int] | None:
    """The versions that `If-Match` names; None without one.

    A star is any version, but there must be one. What is not a strong tag of ours matches nothing.
    """
    given = headers.get(b"if-match")
    if given is None:
        return None
    if given.strip() == b"*":
        return _ANY
    tags = (tag.strip() for tag in given.split(b","))
    bare = (tag[1:-1] for tag in tags if tag[:1] == tag[-1:] == b'"')
    return frozenset(int(tag) for tag in bare if tag.isdigit() and len(tag) <= _DIGITS_MAX)


_DIGITS_MAX: Final = 9
_ANY: Final = range(10**_DIGITS_MAX)
