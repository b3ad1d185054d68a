"""What a device, a Web Push subscription and a push notification may be.

Source: the largest notification that all three services take is 4,096 bytes (Firebase Cloud
Messaging, "About FCM messages"; Apple, "Generating a remote notification"; RFC 8030, section 7.2).
"""

import base64
import binascii
import re
from typing import Final
from urllib.parse import urlsplit

from cdp.channels.content import Parts, UnfitContent, json_object, require, require_at_most

TOKEN_CHARS_MAX: Final = 4_096
ENDPOINT_CHARS_MAX: Final = 2_048
CONTENT_OCTETS_MAX: Final = 3_500
"""Of title, body and data together; the rest is for what the services wrap around them."""
TITLE_OCTETS_MAX: Final = 1_000
COLLAPSE_KEY_CHARS_MAX: Final = 32
"""RFC 8030, section 5.4, has the narrowest limit of the three services."""
TTL_S_MAX: Final = 28 * 86_400

_FCM_TOKEN: Final = re.compile(r"[A-Za-z0-9_:.%-]{16,4096}")
_APNS_TOKEN: Final = re.compile(r"(?:[0-9a-fA-F]{2}){16,100}")
_COLLAPSE_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_POINT_OCTETS: Final = 65
_SECRET_OCTETS: Final = 16
_UNCOMPRESSED: Final = 4


def normalise_token(token: str, platform: str) -> str:
    """The one form of a device's token on its platform.

    Raises:
        ValueError: it can be none.
    """
    if platform == "apns":
        if _APNS_TOKEN.fullmatch(token) is None:
            raise ValueError("a device token of APNs is 32 to 200 hexadecimal digits")
        return token.lower()
    if _FCM_TOKEN.fullmatch(token) is None:
        raise ValueError("a registration token of FCM is 16 to 4096 letters, digits and _:.%-")
    return token


def suppression_key(token: str) -> str:
    """What a device is suppressed under: what may be a token of APNs in its one form, since an
    entry of the list names no platform."""
    return token.lower() if _APNS_TOKEN.fullmatch(token) else token


def normalise_endpoint(url: str) -> str:
    """The endpoint of a Web Push subscription.

    Raises:
        ValueError: it is not an https URL.
    """
    if len(url) > ENDPOINT_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("an endpoint is a URL of at most 2048 ASCII characters")
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise ValueError("an endpoint is an https URL")
    return url


def check_subscription_keys(p256dh: str, auth: str) -> None:
    """Refuse keys of a Web Push subscription that can be none (RFC 8291, section 2).

    Raises:
        ValueError: so it is.
    """
    point = _from_base64url(p256dh)
    if len(point) != _POINT_OCTETS or point[0] != _UNCOMPRESSED:
        raise ValueError("p256dh is an uncompressed point of P-256, in base64url")
    if len(_from_base64url(auth)) != _SECRET_OCTETS:
        raise ValueError("auth is 16 bytes, in base64url")


def _from_base64url(text: str) -> bytes:
    if _BASE64URL.fullmatch(text) is None:
        raise ValueError("a key of a subscription is base64url")
    try:
        return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except binascii.Error:
        raise ValueError("a key of a subscription is base64url") from None


def finish(parts: Parts) -> Parts:
    """The content as it is sent.

    Raises:
        UnfitContent: it is empty or too large, its data is no object of texts, or its collapse key
            or time to live is out of bounds.
    """
    require(parts, "title", "body")
    require_at_most(parts, "title", octets=TITLE_OCTETS_MAX)
    data = json_object(parts, "data")
    if any(not isinstance(value, str) for value in data.values()):
        raise UnfitContent("content_not_json", "data", "Its values must be texts.")
    sizes = [len(parts.get(name, "").encode()) for name in ("title", "body", "data")]
    if sum(sizes) > CONTENT_OCTETS_MAX:
        raise UnfitContent(
            "content_too_large", "body", f"All of it is larger than {CONTENT_OCTETS_MAX} bytes."
        )
    finished = dict(parts)
    _finish_collapse_key(finished)
    _check_ttl(finished)
    return finished


def _finish_collapse_key(finished: dict[str, str]) -> None:
    key = finished.pop("collapse_key", "").strip()
    if not key:
        return
    if _COLLAPSE_KEY.fullmatch(key) is None:
        detail = f"It is 1 to {COLLAPSE_KEY_CHARS_MAX} letters, digits, _ and -."
        raise UnfitContent("content_invalid", "collapse_key", detail)
    finished["collapse_key"] = key


def _check_ttl(finished: dict[str, str]) -> None:
    ttl = finished.get("ttl_s")
    if ttl is None:
        return
    if not (ttl.isascii() and ttl.isdigit() and len(ttl) < 9 and int(ttl) <= TTL_S_MAX):
        detail = f"It is a whole number of seconds up to {TTL_S_MAX}."
        raise UnfitContent("content_invalid", "ttl_s", detail)
