"""The token in a tracked link or pixel: which result, which link, and a MAC that no one can forge.

It holds no URL and no address (rule E9). A token that was altered in any bit is no token.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cdp.domain.ids import ID_BYTES, ResultId

MAC_BYTES: Final = 12
NONCE_BYTES: Final = 8
LINKS_MAX: Final = 256
"""Links of one message that can be tracked: the token has one byte for the index."""
_PIXEL: Final = b"o"
_LINK: Final = b"c"
_UNSUBSCRIBE: Final = b"u"
_LINKS_ID_BYTES: Final = ID_BYTES + NONCE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReference:
    """A link of a message: which stored list, and which of it."""

    links_id: bytes
    """The result's id and a nonce of the rendering: a second rendering has a list of its own."""
    index: int

    @property
    def result_id(self) -> ResultId:
        """The result whose message holds the link."""
        return ResultId(self.links_id[:ID_BYTES])


def links_id_of(result_id: ResultId, nonce: bytes) -> bytes:
    """The id of the list of links that one rendering of a message holds."""
    assert len(nonce) == NONCE_BYTES
    return result_id + nonce


def sign_pixel(result_id: ResultId, *, key: bytes) -> str:
    """The pixel's token as it stands in a URL."""
    return _signed(_PIXEL + result_id, key)


def sign_unsubscribe(result_id: ResultId, *, key: bytes) -> str:
    """The token by which a recipient opts out, as it stands in a URL."""
    return _signed(_UNSUBSCRIBE + result_id, key)


def read_unsubscribe(text: str, *, key: bytes) -> ResultId | None:
    """Whose opt-out it is, if the text is a token of ours, unaltered; else None."""
    body = _verified(text, key)
    if body is None or body[:1] != _UNSUBSCRIBE or len(body) != 1 + ID_BYTES:
        return None
    return ResultId(body[1:])


def sign_links(links_id: bytes, count: int, *, key: bytes) -> list[str]:
    """The tokens of a list's links, by their index, as they stand in URLs."""
    assert count <= LINKS_MAX
    before = _LINK + links_id
    # One state, so that the key is not taken in anew for each; and one text, filled up so that
    # each token begins at a character of its own.
    state = hashlib.blake2b(before, key=key, digest_size=MAC_BYTES)
    fill = bytes(-(len(before) + 1 + MAC_BYTES) % 3)
    bodies: list[bytes] = []
    for index in range(count):
        last = bytes((index,))
        mac = state.copy()
        mac.update(last)
        bodies += (before, last, mac.digest(), fill)
    text = base64.urlsafe_b64encode(b"".join(bodies)).decode()
    size = (len(before) + 1 + MAC_BYTES + len(fill)) // 3 * 4
    return [text[at : at + size - len(fill)] for at in range(0, len(text), size)]


def read_pixel(text: str, *, key: bytes) -> ResultId | None:
    """Whose pixel it is, if the text is a token of ours, unaltered; else None."""
    body = _verified(text, key)
    if body is None or body[:1] != _PIXEL or len(body) != 1 + ID_BYTES:
        return None
    return ResultId(body[1:])


def read_link(text: str, *, key: bytes) -> LinkReference | None:
    """Which link it is, if the text is a token of ours, unaltered; else None."""
    body = _verified(text, key)
    if body is None or body[:1] != _LINK or len(body) != 2 + _LINKS_ID_BYTES:
        return None
    return LinkReference(links_id=body[1:-1], index=body[-1])


def _signed(body: bytes, key: bytes) -> str:
    return _text(body + _mac(body, key))


def _verified(text: str, key: bytes) -> bytes | None:
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        return None
    body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    # The text is compared too: base64 has several spellings of the same bytes.
    if not hmac.compare_digest(mac, _mac(body, key)) or _text(raw) != text:
        return None
    return body


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mac(body: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(body, key=key, digest_size=MAC_BYTES).digest()
