"""Cursors: opaque, and signed for the client and the list that they were given out for."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from cdp.domain.ids import ClientId
from cdp.errors import Invalid
from cdp.http.call import Call
from cdp.http.problems import BadCursor

T = TypeVar("T")

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500
CURSOR_CHARS_MAX: Final = 400

_MAC_BYTES: Final = 12


def make_cursor(position: bytes, *, client_id: ClientId, scope: str, key: bytes) -> str:
    """A cursor behind `position` of the list that `scope` names."""
    raw = _mac(position, client_id, scope, key) + position
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_cursor(cursor: str, *, client_id: ClientId, scope: str, key: bytes) -> bytes:
    """The position of a cursor.

    Raises:
        BadCursor: it was altered, or given out to another client or for another list.
    """
    if len(cursor) > CURSOR_CHARS_MAX or not cursor.isascii():
        raise BadCursor
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadCursor from None
    mac, position = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(position, client_id, scope, key)):
        raise BadCursor
    return position


def _mac(position: bytes, client_id: ClientId, scope: str, key: bytes) -> bytes:
    message = client_id + len(scope).to_bytes(2, "big") + scope.encode()[:65_000] + position
    return hashlib.blake2b(message, key=key, digest_size=_MAC_BYTES).digest()


def cursor_of(call: Call, scope: str) -> bytes | None:
    """The position that this request asks to go on from.

    Raises:
        BadCursor: as `read_cursor`.
    """
    cursor = call.query.get("cursor")
    if cursor is None:
        return None
    return read_cursor(
        cursor, client_id=call.caller.client.id, scope=scope, key=call.services.cursor_key
    )


def next_cursor(call: Call, scope: str, position: bytes | None) -> str | None:
    """The cursor to hand out, if there is more behind `position`."""
    if position is None:
        return None
    return make_cursor(
        position, client_id=call.caller.client.id, scope=scope, key=call.services.cursor_key
    )


def page_of(
    call: Call,
    scope: str,
    found: Sequence[T],
    *,
    limit: int,
    position: Callable[[T], bytes],
    view: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """A page, as it is answered.

    Args:
        call: the request for it.
        scope: the list that it is of.
        found: its entries, and one more if there is more.
        limit: how many it may have.
        position: what a cursor behind an entry says.
        view: an entry as callers get to see it.
    """
    last = position(found[limit - 1]) if len(found) > limit else None
    return {
        "items": [view(entry) for entry in found[:limit]],
        "next_cursor": next_cursor(call, scope, last),
    }


def limit_of(call: Call, *, default: int = LIMIT_DEFAULT, most: int = LIMIT_MAX) -> int:
    """How many entries a page is to have.

    Raises:
        Invalid: not a number from 1 to `most`.
    """
    given = call.query.get("limit")
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= 9 and 1 <= int(given) <= most):
        raise Invalid.at("limit", "out_of_range", f"The limit is a number from 1 to {most}.")
    return int(given)
