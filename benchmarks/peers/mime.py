"""A message from a skeleton: `EmailMessage` costs over a millisecond, this some 20 us.

The peer is given it so that the comparison does not hang on the standard library's slowness.
"""

import base64
import time
from email.header import Header
from email.utils import formatdate
from typing import Final

_SKELETON: Final = (
    b"From: %b\r\nTo: %b\r\nSubject: %b\r\nDate: %b\r\nMessage-ID: %b\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative; boundary="%b"\r\n\r\n'
    b"--%b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"%b\r\n--%b\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n%b\r\n--%b--\r\n"
)


class HeaderRefused(ValueError):
    """A header value with a line break in it."""


def message(*, sender: str, to: str, subject: str, message_id: str, text: str, html: str) -> bytes:
    """A multipart/alternative message, ready to be sent."""
    boundary = b"=_" + message_id.strip("<>").partition("@")[0].encode()
    return _SKELETON % (
        _header(sender),
        _header(to),
        _header(subject),
        formatdate(time.time()).encode(),
        message_id.encode(),
        boundary,
        boundary,
        _base64(text),
        boundary,
        _base64(html),
        boundary,
    )


def _header(value: str) -> bytes:
    if "\r" in value or "\n" in value:
        raise HeaderRefused(value[:40])
    if value.isascii():
        return value.encode()
    return Header(value, "utf-8", maxlinelen=998).encode().encode()


def _base64(part: str) -> bytes:
    # encodebytes breaks the lines after 76 characters, by LF alone.
    return base64.encodebytes(part.encode()).replace(b"\n", b"\r\n")
