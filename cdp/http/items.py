"""Takes the items of a batch out of its body, each as the bytes that it came in.

An item is parsed by itself, so that what is wrong with one is no matter of the others. Of a JSON
array only the outermost commas are looked for; of NDJSON the line ends.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Final

from cdp.errors import FieldError, Invalid, PayloadTooLarge
from cdp.http.body import SINGLE_BYTES_MAX
from cdp.http.problems import Malformed

ITEMS_MAX: Final = 10_000
PAUSE_TOKENS: Final = 20_000
"""After so many the event loop gets a turn."""

# Possessive, so that no input makes it try twice. An unfinished string is a lone quote.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
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
    begin, end = start + 1, -1
    for at in _separators(raw, start):
        if at is None:
            await asyncio.sleep(0)
        elif raw[at : at + 1] == b",":
            yield raw[begin:at]
            begin = at + 1
        else:
            end = at
    if end < 0 or raw[end : end + 1] != b"]" or raw[end + 1 :].strip(_BLANK):
        raise Malformed("The body is not one JSON array.")
    last = raw[begin:end]
    if begin == start + 1 and not last.strip(_BLANK):
        raise Invalid.at("", "empty", "The batch has no items.")
    yield last


def _separators(raw: bytes, start: int) -> Iterator[int | None]:
    """Where the outermost commas and the closing bracket are; None says that time has passed."""
    depth = 0
    for number, match in enumerate(_TOKEN.finditer(raw, start), start=1):
        if number % PAUSE_TOKENS == 0:
            yield None
        token = match[0]
        if token in _OPENING:
            depth += 1
        elif token in _CLOSING:
            depth -= 1
            if depth == 0:
                yield match.start()
                return
        elif token == b"," and depth == 1:
            yield match.start()
        elif token == b'"':
            raise Malformed("A string in the body does not end.")


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
