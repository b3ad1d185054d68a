"""What the user of an inbox and an entry in it may be."""

import re
from typing import Final
from urllib.parse import urlsplit

from cdp.channels.content import Parts, UnfitContent, json_object, require, require_at_most

USER_CHARS_MAX: Final = 255
TITLE_OCTETS_MAX: Final = 1_000
BODY_OCTETS_MAX: Final = 16 * 1024
DATA_OCTETS_MAX: Final = 16 * 1024
ACTION_CHARS_MAX: Final = 2_048
ACTION_LABEL_OCTETS_MAX: Final = 200

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def normalise_user(user: str) -> str:
    """The client's own name for its user, as it was given.

    Raises:
        ValueError: it is empty, too long, or holds a control character.
    """
    if not user.strip() or len(user) > USER_CHARS_MAX or _UNSAFE.search(user):
        raise ValueError(f"a user is named by 1 to {USER_CHARS_MAX} printable characters")
    return user


def finish(parts: Parts) -> Parts:
    """The content as it is kept.

    Raises:
        UnfitContent: it is empty or too large, its data is no object, or its action leads to
            something else than the web or the app itself.
    """
    require(parts, "title", "body")
    require_at_most(parts, "title", octets=TITLE_OCTETS_MAX)
    require_at_most(parts, "body", octets=BODY_OCTETS_MAX)
    require_at_most(parts, "data", octets=DATA_OCTETS_MAX)
    require_at_most(parts, "action_label", octets=ACTION_LABEL_OCTETS_MAX)
    json_object(parts, "data")
    finished = dict(parts)
    action = finished.pop("action_url", "").strip()
    if action:
        if not _is_action(action):
            detail = "It is an http or https URL, or a path of the app that begins with a slash."
            raise UnfitContent("content_invalid", "action_url", detail)
        finished["action_url"] = action
    return finished


def _is_action(url: str) -> bool:
    if len(url) > ACTION_CHARS_MAX or _UNSAFE.search(url) or "\\" in url:
        return False
    if url.startswith("/") and not url.startswith("//"):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
