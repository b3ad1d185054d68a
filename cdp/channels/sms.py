"""What a phone number and a text message may be, and how many segments a text takes.

A message of one segment holds 160 characters of the GSM alphabet or 70 of UCS-2; in a longer one
each segment gives 7 or 3 of them to the header that joins them.

Source: 3GPP TS 23.038, sections 6.2.1 and 6.2.3; TS 23.040, section 9.2.3.24.1.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import phonenumbers

from cdp.channels.content import Parts, UnfitContent, require

SEGMENTS_MAX: Final = 10
PHONE_CHARS_MAX: Final = 40
SENDER_NAME_CHARS_MAX: Final = 11

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_SENDER_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 _&+.-]{1,11}")

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = frozenset("\f^{}\\[~]|€")
"""Characters that stand behind an escape, so each takes the room of two."""


class Encoding(StrEnum):
    """How a text goes over the air."""

    GSM = "gsm"
    UCS2 = "ucs2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """How a text is split: what it costs is counted in these."""

    encoding: Encoding
    count: int


def normalise(number: str) -> str:
    """The one form in which a phone number is kept, compared and sent to: E.164.

    Raises:
        ValueError: it is not an international number that could exist; the message does not
            repeat it.
    """
    if len(number) > PHONE_CHARS_MAX or not number.isascii():
        raise ValueError("a phone number has at most 15 digits after its plus sign")
    if not number.lstrip().startswith("+"):
        raise ValueError("a phone number must be international, with a plus sign before it")
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        raise ValueError("this is not a phone number") from None
    if parsed.extension or not phonenumbers.is_possible_number(parsed):
        raise ValueError("no phone number of this country looks like that")
    normal = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if _E164.fullmatch(normal) is None:
        raise ValueError("this is not a phone number")
    return normal


def normalise_sender(sender: str) -> str:
    """Who a text message is from: a number in E.164, a short code, or a name of 11 characters.

    Raises:
        ValueError: it is none of them.
    """
    if sender.startswith("+"):
        return normalise(sender)
    if _SHORT_CODE.fullmatch(sender) or _SENDER_NAME.fullmatch(sender):
        return sender
    raise ValueError(
        "a sender is an international number, a short code of 3 to 8 digits, or up to "
        f"{SENDER_NAME_CHARS_MAX} letters, digits, spaces and _&+.- with a letter among them"
    )


def segments_of(text: str) -> Segments:
    """How many segments a text takes. No character is split over two of them."""
    if all(char in _BASIC or char in _EXTENSION for char in text):
        widths = [2 if char in _EXTENSION else 1 for char in text]
        return Segments(encoding=Encoding.GSM, count=_count(widths, single=160, joined=153))
    widths = [2 if ord(char) > 0xFFFF else 1 for char in text]
    return Segments(encoding=Encoding.UCS2, count=_count(widths, single=70, joined=67))


def _count(widths: list[int], *, single: int, joined: int) -> int:
    if sum(widths) <= single:
        return 1
    count, room = 1, joined
    for width in widths:
        if width > room:
            count, room = count + 1, joined
        room -= width
    return count


def finish(parts: Parts) -> Parts:
    """The content as it is sent, without the space around it.

    Raises:
        UnfitContent: there is no text, or it takes more than `SEGMENTS_MAX` segments.
    """
    require(parts, "text")
    text = parts["text"].strip()
    if "\0" in text:
        raise UnfitContent("content_unsafe", "text", "It holds the character NUL.")
    if segments_of(text).count > SEGMENTS_MAX:
        raise UnfitContent(
            "content_too_large", "text", f"It takes more than {SEGMENTS_MAX} segments."
        )
    return {"text": text}
