"""Takes the items of a batch out of its body, each as the bytes that it came in.

What is wrong with one item is no matter of the others. So of a JSON array only the outermost commas
are looked for, and of NDJSON the line ends; what lies between is parsed by itself. Where a whole
stretch of an array is in order, which is the rule, it is parsed at once, at half the cost.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cdp.errors import FieldError, Invalid, PayloadTooLarge
from cdp.http.body import SINGLE_BYTES_MAX
from cdp.http.json_input import load_elements
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


class Parsed(NamedTuple):
    """An item that has been read along with its neighbours."""

    value: Any


Item = bytes | Parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of an array's bytes: one item, or a stretch of them that is in order."""

    begin: int
    end: int
    count: int
    values: list[Any] | None = None
    """Kept where they are the whole array. A large one is read twice instead, since its values
    take many times the memory of its bytes."""


async def array_items(raw: bytes, pieces: Sequence[Piece]) -> AsyncIterator[Item]:
    """The elements of a JSON array that was cut into these pieces."""
    for piece in pieces:
        values = piece.values
        if values is None and piece.count > 1:
            values = _elements(raw, piece.begin, piece.end)
        if values is None:
            yield raw[piece.begin : piece.end]
        else:
            for value in values:
                yield Parsed(value)


async def cut_array(raw: bytes, *, stretch: int = STRETCH_BYTES_MAX) -> list[Piece]:
    """How a JSON array is cut, once it is known that it is one, and closes.

    Args:
        raw: the body.
        stretch: the bytes that are read at once, at most.

    Raises:
        Malformed: it is not an array whose brackets close.
        Invalid: it is some other JSON value, or an empty array.
        PayloadTooLarge: it has too many elements.
    """
    start = len(raw) - len(raw.lstrip(_BLANK))
    if raw[start : start + 1] != b"[":
        _refuse_other(raw[start:])
    begin, end = start + 1, len(raw.rstrip(_BLANK)) - 1
    if end - begin <= stretch and (values := load_elements(raw)):
        if len(values) > ITEMS_MAX:
            raise too_many()
        return [Piece(begin=begin, end=end, count=len(values), values=values)]
    pieces, count = [], 0
    async for piece in _pieces(raw, begin, stretch):
        pieces.append(piece)
        count += piece.count
        if count > ITEMS_MAX:
            raise too_many()
    return pieces


async def _pieces(raw: bytes, first: int, stretch: int) -> AsyncIterator[Piece]:
    """Cut by stretches as long as that goes, and item by item where it does not."""
    begin, walk_until, seen = first, first, first
    joint = b""
    while True:
        if joint and begin >= walk_until:
            at = raw.rfind(joint, begin, begin + stretch)
            if at > begin and (values := _elements(raw, begin, at)):
                yield Piece(begin=begin, end=at, count=len(values))
                begin = at + 1
                await asyncio.sleep(0)
                continue
            walk_until = begin + stretch
        # There is always a match, if only of nothing.
        at = _ITEM.match(raw, begin, begin + STRETCH_BYTES_MAX).end()  # type: ignore[union-attr]
        if raw[at : at + 1] not in (b",", b"]"):
            at = await _end_of_item(raw, begin)
        if raw[at : at + 1] != b",":
            break
        yield Piece(begin=begin, end=at, count=1)
        joint = joint or _joint(raw, at)
        begin = at + 1
        if begin - seen > STRETCH_BYTES_MAX:
            seen = begin
            await asyncio.sleep(0)
    if raw[at : at + 1] != b"]" or raw[at + 1 :].strip(_BLANK):
        raise Malformed("The body is not one JSON array.")
    if begin == first and not raw[begin:at].strip(_BLANK):
        raise Invalid.at("", "empty", "The batch has no items.")
    yield Piece(begin=begin, end=at, count=1)


def _joint(raw: bytes, comma: int) -> bytes:
    """What stands between two items and begins the second: most others are joined by the same.

    It is a guess where a stretch may end. Whether one does is known when it could be parsed: what
    JSON reads up to there is whole items.
    """
    match = _JOINT.match(raw, comma)
    return b"" if match is None else match[0]


_JOINT: Final = re.compile(rb'[,][ \t\r\n]{0,100}+\{[ \t\r\n]{0,100}+"[^"\\]{1,100}+"')


def _elements(raw: bytes, begin: int, end: int) -> list[Any] | None:
    return load_elements(b"[%b]" % raw[begin:end])


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
