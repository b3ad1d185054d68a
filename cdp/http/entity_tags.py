"""Optimistic concurrency: `ETag` says a version, `If-Match` asks for it (RFC 9110, 13.1.1)."""

from collections.abc import Mapping

from cdp.http.answer import Answer, json_answer


def tagged_answer(content: Mapping[str, object], version: int, *, status: int = 200) -> Answer:
    """An answer in JSON, with its version as the entity tag."""
    return json_answer(content, status=status, headers=((b"etag", b'"%d"' % version),))


def versions_asked_for(headers: Mapping[bytes, bytes]) -> frozenset[int] | None:
    """The versions that `If-Match` names; None where any will do.

    What is not a strong tag of ours matches nothing, as the RFC has it.
    """
    given = headers.get(b"if-match")
    if given is None or given.strip() == b"*":
        return None
    tags = (tag.strip() for tag in given.split(b","))
    bare = (tag[1:-1] for tag in tags if tag[:1] == tag[-1:] == b'"')
    return frozenset(int(tag) for tag in bare if tag.isdigit() and len(tag) <= _DIGITS_MAX)


_DIGITS_MAX = 9
