"""From bytes to text: which encoding a file has, and where it does not keep to it.

A byte order mark decides; without one the encoding that was declared; without that it is UTF-8,
strictly. Nothing is guessed. All of these but UTF-16 have every byte of ASCII for that character
only, so that lines can be cut before they are decoded; UTF-16 is made UTF-8 first.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cdp.file_formats.faults import FileRefused

BOM_BYTES_MAX: Final = 3
_UTF_8: Final = "utf-8"
_UTF_16: Final = ("utf-16-le", "utf-16-be")
_CODECS: Final[Mapping[str, str]] = {
    **{name: name for name in (_UTF_8, *_UTF_16)},
    **{f"iso-8859-{part}": f"iso-8859-{part}" for part in (1, 2, 9, 15)},
    **{f"windows-{page}": f"cp{page}" for page in (1250, 1251, 1252, 1254)},
}
ENCODINGS: Final = tuple(_CODECS)
"""What may be declared."""
_MARKS: Final = (
    (codecs.BOM_UTF8, _UTF_8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHER_NAMES: Final[Mapping[str, str]] = {
    "utf8": _UTF_8,
    "usascii": _UTF_8,
    "ascii": _UTF_8,
    "latin1": "iso-8859-1",
    "latin9": "iso-8859-15",
}
_BY_FOLDED_NAME: Final = {re.sub(r"[-_ ]", "", n): n for n in _CODECS} | {
    **_OTHER_NAMES,
    **{f"cp{page}": f"windows-{page}" for page in (1250, 1251, 1252, 1254)},
}


def encoding_named(name: str) -> str:
    """The one of `ENCODINGS` that is meant.

    Raises:
        FileRefused: none is.
    """
    found = _BY_FOLDED_NAME.get(re.sub(r"[-_ ]", "", name.lower()))
    if found is None:
        known = ", ".join(ENCODINGS)
        raise FileRefused("encoding_unknown", f"The encoding must be one of: {known}.")
    return found


def encoding_of(beginning: bytes, declared: str | None) -> tuple[str, int]:
    """The encoding of a file, and the length of its byte order mark.

    Args:
        beginning: of the file, `BOM_BYTES_MAX` or all of it.
        declared: what it is without a mark; one of `ENCODINGS`.
    """
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            return encoding, len(mark)
    return declared or _UTF_8, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a text ends before its bytes do."""

    code: str
    detail: str
    offset: int


class TextDecoder:
    """Makes of a file's bytes some in which lines can be cut, and of those lines text.

    A byte that is wrong never comes before the text in front of it: `feed` gives what is right and
    remembers why it can't go on, so that the same rows are read however the bytes came.
    """

    def __init__(self, encoding: str, *, offset: int) -> None:
        """Begin behind the mark, or anywhere between two lines.

        Args:
            encoding: one of `ENCODINGS`.
            offset: of the first byte, in the file.
        """
        self.encoding = encoding
        self.codec = _CODECS[encoding]
        self.stop: Stop | None = None
        """Set once the text can't go on."""
        self._wide = encoding in _UTF_16
        self._left = b""
        self._offset = offset

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """The bytes in which lines can be cut; nothing more after `stop` was set."""
        if self.stop is not None:
            return b""
        begin = self._offset
        self._offset += len(data)
        if self._wide:
            data, begin = self._left + data, begin - len(self._left)
            text = self._decoded(data, begin, last=last)
            at = text.find("\0")
            if at >= 0:
                self.stop = _nul(begin + self._width(text[:at]))
                text = text[:at]
            # A half of a pair can't be left here, so that this is always possible.
            return text.encode()
        at = data.find(b"\0")
        if at >= 0:
            self.stop = _nul(begin + at)
            return data[:at]
        return data

    def _decoded(self, data: bytes, begin: int, *, last: bool) -> str:
        decode = (
            codecs.utf_16_le_decode if self.encoding == "utf-16-le" else codecs.utf_16_be_decode
        )
        try:
            text, used = decode(data, "strict", last)
        except UnicodeDecodeError as error:
            self.stop = self.undecodable(error, begin)
            return data[: error.start].decode(self.codec)
        self._left = data[used:]
        return text

    def undecodable(self, error: UnicodeDecodeError, begin: int) -> Stop:
        """What to say of bytes, of which the first is at `begin`, that can't be decoded."""
        wrong = " ".join(f"0x{byte:02X}" for byte in error.object[error.start : error.end][:4])
        name = self.encoding.upper() if self.encoding.startswith("utf") else self.encoding
        return Stop(
            code="encoding_invalid",
            detail=f"The bytes {wrong} are not {name}. Declare the encoding if it is another.",
            offset=begin + error.start,
        )

    def width(self, line: bytes) -> int:
        """How many bytes of the file these are, that `feed` gave."""
        return self._width(line.decode()) if self._wide else len(line)

    def _width(self, text: str) -> int:
        return len(text.encode(self.codec))

    def text(self, line: bytes) -> str:
        """What is written there.

        Raises:
            UnicodeDecodeError: it is not of this encoding.
        """
        return line.decode(_UTF_8 if self._wide else self.codec)


def _nul(offset: int) -> Stop:
    return Stop(
        code="nul",
        detail="There is a NUL, as in a file that is no text, or UTF-16 that does not say so.",
        offset=offset,
    )
