"""A message taken apart for showing it. It may be hostile: nothing in it makes this raise."""

import email
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32
from typing import Final

from cdp.embedded.mailbox_smtp import clean, decoded

PARTS_MAX: Final = 200
LINKS_MAX: Final = 100

_HREF: Final = re.compile(
    r"""<a\b[^>]*?\bhref\s*=\s*["'](https?://[^"'<>\s]+)["']""", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What came along."""

    name: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A message's parts."""

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    links: tuple[str, ...]
    """Where the HTML part's links lead to: in its frame they cannot be followed."""


def open_message(raw: bytes) -> Opened:
    """Take a message apart."""
    try:
        message = email.message_from_bytes(raw, policy=compat32)
    except RecursionError:
        # Parts within parts by the thousand: only the headers are worth showing.
        message = BytesHeaderParser(policy=compat32).parsebytes(raw)
    text: str | None = None
    page: str | None = None
    attachments: list[Attachment] = []
    for part in _leaves(message):
        kind = part.get_content_type()
        inline = part.get_content_disposition() != "attachment"
        if inline and kind == "text/plain" and text is None:
            text = _text_of(part)
        elif inline and kind == "text/html" and page is None:
            page = _text_of(part)
        else:
            attachments.append(_attachment(part, kind))
    return Opened(
        headers=tuple((name, decoded(value)) for name, value in message.items()),
        text=text,
        html=page,
        attachments=tuple(attachments),
        links=_links_of(page or ""),
    )


def _leaves(message: Message) -> Iterator[Message]:
    count = 0
    # Not `walk`, which calls itself for each level of nesting.
    waiting = [message]
    while waiting and count < PARTS_MAX:
        part = waiting.pop(0)
        count += 1
        if part.is_multipart():
            # Asked of no other part: there the library decodes, and a bad charset raises.
            inner = part.get_payload()
            waiting[:0] = [item for item in inner if isinstance(item, Message)]
        else:
            yield part


def _bytes_of(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text_of(part: Message) -> str:
    charset = str(part.get_param("charset", "utf-8"))
    try:
        return _bytes_of(part).decode(charset, "replace")
    except (LookupError, ValueError):
        return _bytes_of(part).decode("utf-8", "replace")


def _attachment(part: Message, kind: str) -> Attachment:
    return Attachment(
        name=clean(part.get_filename() or "without a name"),
        content_type=clean(kind),
        size=len(_bytes_of(part)),
    )


def _links_of(page: str) -> tuple[str, ...]:
    found = dict.fromkeys(html.unescape(match[1]) for match in _HREF.finditer(page))
    return tuple(found)[:LINKS_MAX]
