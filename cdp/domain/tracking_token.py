"""The token in a tracked link or pixel: which result, which link, and a MAC that no one can forge.

It holds no URL and no address (rule E9). A token that was altered in any bit is no token.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cdp.domain.ids import ID_BYTES, ClientId, ResultId

MAC_BYTES: Final = 12
_PIXEL: Final = b"o"
_LINK: Final = b"c"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingToken:
    """What a valid token says. Without a link it is the pixel's."""

    result_id: ResultId
    link_id: bytes | None = None


def link_id_of(client_id: ClientId, url: str) -> bytes:
    """The id of a client's link: the same link of the same client has the same id."""
    return hashlib.blake2b(url.encode(), key=client_id, digest_size=ID_BYTES).digest()


def sign(token: TrackingToken, *, key: bytes) -> str:
    """The token as it stands in a URL."""
    kind = _PIXEL if token.link_id is None else _LINK
    body = kind + token.result_id + (token.link_id or b"")
    return base64.urlsafe_b64encode(body + _mac(body, key)).rstrip(b"=").decode()


def read(text: str, *, key: bytes) -> TrackingToken | None:
    """What the text says if it is a token of ours, unaltered; else None."""
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(body, key)):
        return None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        return None
    result_id, link_id = ResultId(body[1 : 1 + ID_BYTES]), body[1 + ID_BYTES :]
    if body[:1] == _PIXEL and not link_id:
        return TrackingToken(result_id=result_id)
    if body[:1] == _LINK and len(link_id) == ID_BYTES:
        return TrackingToken(result_id=result_id, link_id=link_id)
    return None


def _mac(body: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(body, key=key, digest_size=MAC_BYTES).digest()
