"""What the URL and the content of a webhook may be. Where a URL leads is looked at when it is
called, not here (rule A7)."""

import json
from typing import Final
from urllib.parse import urlsplit

from cdp.channels.content import Parts, UnfitContent, json_value, require

URL_CHARS_MAX: Final = 2_048
PAYLOAD_OCTETS_MAX: Final = 256 * 1024


def normalise(url: str) -> str:
    """A URL that can be called, as it was given but for the case of scheme and host.

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"a URL has at most {URL_CHARS_MAX} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("this is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("a URL begins with https:// or http:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold a user name or password")
    if parts.fragment:
        raise ValueError("a URL must not have a fragment")
    return parts._replace(netloc=parts.netloc.lower()).geturl()


def finish(parts: Parts) -> Parts:
    """The content as it is sent: JSON, written without spaces.

    Raises:
        UnfitContent: it is not JSON, or too large.
    """
    require(parts, "payload")
    payload = json.dumps(json_value(parts, "payload"), separators=(",", ":"), ensure_ascii=False)
    try:
        octets = len(payload.encode())
    except UnicodeEncodeError:
        raise UnfitContent("content_unsafe", "payload", "It holds half a character.") from None
    if octets > PAYLOAD_OCTETS_MAX:
        raise UnfitContent(
            "content_too_large", "payload", f"It is larger than {PAYLOAD_OCTETS_MAX} bytes."
        )
    return {"payload": payload}
