"""Takes the items of a batch out of its body, each as the bytes that it came in.

An item is parsed by itself, so that what is wrong with one is no matter of the others. Of a JSON
array only the outermost commas are looked for; of NDJSON the line ends.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final

from cdp.errors import FieldError, Invalid, PayloadTooLarge
from cdp.http.body import SINGLE_BYTES_MAX
from cdp.http.problems import Malformed

ITEMS_MAX: Final = 10_000
PAUSE_TOKENS: Final = 20_000
"""After so many the event loop gets a turn."""

LEVELS: Final = 8
"""How deep an item may nest to be found by one match; those that nest deeper are walked through."""
STRETCH_BYTES_MAX: Final = SINGLE_BYTES_MAX
"""How much is looked at without giving the event loop a turn."""

# Possessive, here and below, so that no input makes a match try twice. An unfinished string is a
# lone quote.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'


def _item_pattern() -> re.Pattern[bytes]:
    """All that stands before an item's comma. The kinds of the brackets are the parser's matter."""
    inside = rb'(?:[^"\[\]{}]++|%b)*+' % _STRING
    for _ in range(LEVELS - 1):
        inside = rb'(?:[^"\[\]{}]++|%b|[\[{]%b[\]}])*+' % (_STRING, inside)
    return re.compile(rb'(?:[^",\[\]{}]++|%b|[\[{]%b[\]}])*+' % (_STRING, inside), re.DOTALL)


_ITEM: Final = _item_pattern()
_TOKEN: Final = re.compile(_STRING + rb'|["\[\]{},]', re.DOTALL)
_OPENING: Final = (b"[", b"{")
_CLOSING: Final = (b"]", b"}")
_BLANK: Final = b" \t\r\n"


def too_many() -> PayloadTooLarge:
    """The refusal of what is behind the last item that a batch may have."""
    return PayloadTooLarge(f"A batch has at most {ITEMS_MAX} items.")


def item_too_large() -> PayloadTooLarge:
    """The refusal of one item."""
    return PayloadTooLarge(f"An item is larger than {SINGLE_BYTES_MAX // 1024} KiB.")


async def array_items(raw: bytes) -> AsyncIterator[bytes]:
    """The elements of a JSON array, as their bytes.

    Raises:
        Malformed: it is not an array whose brackets close.
        Invalid: it is some other JSON value, or an empty array.
    """
    start = len(raw) - len(raw.lstrip(_BLANK))
    if raw[start : start + 1] != b"[":
        _refuse_other(raw[start:])
    begin, seen = start + 1, 0
    while True:
        # There is always a match, if only of nothing.
        at = _ITEM.match(raw, begin, begin + STRETCH_BYTES_MAX).end()  # type: ignore[union-attr]
        if raw[at : at + 1] not in (b",", b"]"):
            at = await _end_of_item(raw, begin)
        if raw[at : at + 1] != b",":
            break
        yield raw[begin:at]
        begin = at + 1
        if begin - seen > STRETCH_BYTES_MAX:
            seen = begin
            await asyncio.sleep(0)
    if raw[at : at + 1] != b"]" or raw[at + 1 :].strip(_BLANK):
        raise Malformed("The body is not one JSON array.")
    last = raw[begin:at]
    if begin == start + 1 and not last.strip(_BLANK):
        raise Invalid.at("", "empty", "The batch has no items.")
    yield last


async def _end_of_item(raw: bytes, begin: int) -> int:
    """Where the item that begins here ends, bracket by bracket; the body's end if nowhere."""
    depth = 1
    for number, match in enumerate(_TOKEN.finditer(raw, begin), start=1):
        if number % PAUSE_TOKENS == 0:
            await asyncio.sleep(0)
        token = match[0]
        if token in _OPENING:
            depth += 1
        elif token in _CLOSING:
            depth -= 1
            if depth == 0:
                return match.start()
        elif token == b"," and depth == 1:
            return match.start()
        elif token == b'"':
            raise Malformed("A string in the body does not end.")
    return len(raw)


def _refuse_other(raw: bytes) -> None:
    if raw[:1] in (b"{", b'"', b"t", b"f", b"n") or raw[:1].isdigit():
        raise Invalid(
            [FieldError(pointer="", code="list_type", detail="A batch is an array of requests.")]
        )
    raise Malformed("The body is not JSON.")


async def line_items(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of NDJSON that hold something. One that is too long is cut to just too long."""
    rest = b""
    async for piece in pieces:
        *lines, tail = piece.split(b"\n")
        for number, line in enumerate(lines):
            whole = rest + line if number == 0 else line
            if whole.strip(_BLANK):
                yield whole
        rest = (rest if not lines else b"") + tail
        if len(rest) > SINGLE_BYTES_MAX:
            # Enough to be refused for its length, however much more there is.
            rest = rest[: SINGLE_BYTES_MAX + 1]
    if rest.strip(_BLANK):
        yield rest
