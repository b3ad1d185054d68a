"""The bytes of an email, and nothing that could differ between two attempts.

An own skeleton: the standard library's `EmailMessage` costs some forty times as much and turns a
long `List-Unsubscribe` into encoded words, which ends one-click unsubscription. It stays the
reference in the tests. The same `EmailMessage` of the port always gives the same bytes: no clock,
no random boundary. Every line ends with CRLF and is at most 998 octets long.
"""

import binascii
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from struct import Struct
from typing import Final

from cdp.channels.email import (
    ADDRESS_OCTETS_MAX,
    COPIES_MAX,
    DISPLAY_NAME_CHARS_MAX,
    HEADER_LINE_OCTETS_MAX,
    HEADERS_MAX,
    SUBJECT_CHARS_MAX,
    check_header,
    check_header_text,
    holds_encoded_word,
)
from cdp.ports.provider import EmailAddress, EmailMessage

SENDERS_KEPT: Final = 256
DATES_KEPT: Final = 256
_LINE_OCTETS: Final = 76
_LINES: Final = Struct(16 * f"{_LINE_OCTETS}s")
_ENCODED_WORD_OCTETS_MAX: Final = 75
_WORD_START: Final = "=?utf-8?b?"
_WORD_END: Final = "?="
_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_ADDRESS: Final = re.compile(
    r'[^\x00-\x20\x7f-\x9f()<>\[\]:;@\\,"\u2028\u2029\ud800-\udfff]+'
    r"@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
)
_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_BREAK: Final = re.compile(r"(?<=[^ ]) (?=[^ ])")


def build(message: EmailMessage) -> bytes:
    """The complete message as SMTP's DATA carries it, before dots are stuffed.

    Raises:
        ValueError: the message holds what no header may hold, or it has no body.
    """
    lines = [
        _from(message.sender),
        _mailboxes("To", (message.to,)),
    ]
    if message.cc:
        lines.append(_mailboxes("Cc", message.cc))
    if message.reply_to is not None:
        lines.append(_mailboxes("Reply-To", (message.reply_to,)))
    lines.append(_subject(message.subject))
    lines.append(_date(message.date))
    lines.append(_message_id(message.message_id))
    if len(message.headers) > HEADERS_MAX:
        raise ValueError(f"more than {HEADERS_MAX} extra headers")
    lines.extend(_extra_header(name, value) for name, value in message.headers)
    lines.append("MIME-Version: 1.0")
    return _with_body(lines, message)


def _with_body(lines: list[str], message: EmailMessage) -> bytes:
    bodies = [
        (subtype, body)
        for subtype, body in (("plain", message.text), ("html", message.html))
        if body is not None
    ]
    if not bodies:
        raise ValueError("the message has neither html nor text")
    if len(bodies) == 1:
        [(subtype, body)] = bodies
        return b"".join(
            ("\r\n".join(lines).encode(), b"\r\n", _part_head(subtype), _base64(body), b"\r\n")
        )
    # No base64 line holds "_", so no body can hold the boundary.
    boundary = f"=_{message.result_id.hex()}"
    lines.append(f'Content-Type: multipart/alternative; boundary="{boundary}"')
    parts = ["\r\n".join(lines).encode(), b"\r\n"]
    separator = f"\r\n--{boundary}\r\n".encode()
    for subtype, body in bodies:
        parts += (separator, _part_head(subtype), _base64(body))
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return b"".join(parts)


def _part_head(subtype: str) -> bytes:
    return (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode()


def _base64(body: str) -> bytes:
    """The body with CRLF line ends (RFC 2045, section 6.8), in lines of 76."""
    if "\r" in body:
        body = body.replace("\r\n", "\n").replace("\r", "\n")
    encoded = binascii.b2a_base64(body.replace("\n", "\r\n").encode(), newline=False)
    lines: list[bytes] = []
    at = 0
    # Sixteen at a time, in half the time of a slice for each.
    while at + _LINES.size <= len(encoded):
        lines += _LINES.unpack_from(encoded, at)
        at += _LINES.size
    lines += [encoded[a : a + _LINE_OCTETS] for a in range(at, len(encoded), _LINE_OCTETS)]
    return b"\r\n".join(lines)


def _subject(subject: str) -> str:
    if len(subject) > SUBJECT_CHARS_MAX:
        raise ValueError(f"the subject is longer than {SUBJECT_CHARS_MAX} characters")
    check_header_text(subject, what="the subject")
    return _unstructured("Subject", subject)


def _message_id(message_id: str) -> str:
    if len(message_id) > ADDRESS_OCTETS_MAX or not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("the message id is not of the form local@domain")
    return f"Message-ID: <{message_id}>"


def _extra_header(name: str, value: str) -> str:
    """A header of the caller; List-* ones are read by machines and so are never encoded."""
    check_header(name, value)
    if name.lower().startswith("list-"):
        if not value.isascii() or holds_encoded_word(value):
            raise ValueError(f"the header {name} must be plain ASCII")
        return _folded(name, value.strip(" "))
    return _unstructured(name, value)


def _unstructured(name: str, value: str) -> str:
    """Text as it stands where that is read back as it stands; encoded words otherwise."""
    if value.isascii() and not holds_encoded_word(value) and value.strip(" ") == value:
        if len(name) + 2 + len(value) <= _LINE_OCTETS:
            return f"{name}: {value}"
        if max(map(len, _BREAK.split(value))) <= HEADER_LINE_OCTETS_MAX - len(name) - 2:
            return _folded(name, value)
    return f"{name}: {_encoded_words(value, first_line_used=len(name) + 2)}"


def _folded(name: str, value: str) -> str:
    """Lines broken only before a single space, so that unfolding gives back the same value."""
    lines = [f"{name}:"]
    for word in _BREAK.split(value):
        # What follows the name stays on its line, for a line of its own would be no shorter
        # by much and some readers mishandle a header that begins with an empty line.
        if len(lines[-1]) + 1 + len(word) <= _LINE_OCTETS or len(lines[-1]) <= len(name) + 1:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    if max(map(len, lines)) > HEADER_LINE_OCTETS_MAX:
        raise ValueError(f"the header {name} does not fit lines of {HEADER_LINE_OCTETS_MAX} octets")
    return "\r\n".join(lines)


def _encoded_words(text: str, *, first_line_used: int) -> str:
    """RFC 2047: words of at most 75 characters, lines of 76, no character cut in two."""
    raw = text.encode()
    words = []
    start = 0
    room = _octets_in(_LINE_OCTETS - first_line_used)
    while start < len(raw):
        end = min(start + room, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        piece = binascii.b2a_base64(raw[start:end], newline=False).decode()
        words.append(f"{_WORD_START}{piece}{_WORD_END}")
        start = end
        room = _octets_in(_ENCODED_WORD_OCTETS_MAX)
    return "\r\n ".join(words)


def _octets_in(chars: int) -> int:
    """How many octets an encoded word of so many characters carries; one character at least."""
    chars = min(chars, _ENCODED_WORD_OCTETS_MAX) - len(_WORD_START) - len(_WORD_END)
    return max(chars // 4 * 3, 6)


@lru_cache(maxsize=DATES_KEPT)
def _date(moment: datetime) -> str:
    """Kept: what is resolved together has one date."""
    assert moment.tzinfo is not None, "a date without zone is not one moment"
    return f"Date: {format_datetime(moment.astimezone(UTC))}"


@lru_cache(maxsize=SENDERS_KEPT)
def _from(sender: EmailAddress) -> str:
    """Kept: what a worker sends comes from few senders."""
    return _mailboxes("From", (sender,))


def _mailboxes(name: str, addresses: Iterable[EmailAddress]) -> str:
    line = f"{name}:"
    lines = []
    count = 0
    for address in addresses:
        count += 1
        shown = _mailbox(address)
        if count > 1:
            line += ","
        head, _, _ = shown.partition("\r\n")
        # A space before and a comma behind.
        if len(line) + len(head) + 2 > _LINE_OCTETS and count > 1:
            lines.append(line)
            line = ""
        line += f" {shown}"
        if "\r\n" in shown:
            done, _, line = line.rpartition("\r\n")
            lines.append(done)
    if count > COPIES_MAX:
        raise ValueError(f"the header {name} has more than {COPIES_MAX} addresses")
    lines.append(line)
    return "\r\n".join(lines)


def _mailbox(address: EmailAddress) -> str:
    """`name <local@domain>`; a long name is followed by a line break."""
    email = address.email
    if len(email) > ADDRESS_OCTETS_MAX or "=?" in email or not _ADDRESS.fullmatch(email):
        raise ValueError("an address of the message is not a normalised one")
    name = address.name
    if not name:
        return f"<{email}>" if not email.isascii() else email
    if len(name) > DISPLAY_NAME_CHARS_MAX:
        raise ValueError(f"a display name is longer than {DISPLAY_NAME_CHARS_MAX} characters")
    check_header_text(name, what="a display name")
    shown = _phrase(name)
    last = len(shown) - (shown.rfind("\n") + 1)
    # 10 for the longest name of a header that holds addresses.
    glue = " " if last + 1 + len(email) + 2 + 10 <= _LINE_OCTETS else "\r\n "
    return f"{shown}{glue}<{email}>"


def _phrase(name: str) -> str:
    if len(name) <= _LINE_OCTETS - 14 and name.isascii() and "=?" not in name:
        if _PHRASE.fullmatch(name):
            return name
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        if len(escaped) <= _LINE_OCTETS - 14:
            return f'"{escaped}"'
    return _encoded_words(name, first_line_used=len("Reply-To: "))
