"""A form with one file, read as it comes: its fields first, then the file's bytes (RFC 7578)."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from cdp.errors import FieldError, Invalid
from cdp.http.problems import Malformed

FILE_FIELD: Final = "file"
FIELDS_MAX: Final = 50
FIELD_BYTES_MAX: Final = 4_096
MULTIPART: Final = "multipart/form-data"


class FormWithFile:
    """Reads a form up to its file; then `content` gives the file, and checks what follows."""

    def __init__(self, content_type: str, pieces: AsyncIterator[bytes]) -> None:
        """Look at the content type already.

        Raises:
            Malformed: it names no boundary.
        """
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary or len(boundary) > 70:
            # RFC 2046, section 5.1.1.
            raise Malformed("The content type names no boundary of 1 to 70 characters.")
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        self._pieces = pieces
        self._name = ""
        self._header: list[bytes] = [b"", b""]
        self._headers: dict[str, str] = {}
        self._value = bytearray()
        self._data: list[bytes] = []
        self._in_file = self._had_file = self._is_whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_begin": self._begin_header,
                "on_header_field": lambda d, s, e: self._grow_header(0, d[s:e]),
                "on_header_value": lambda d, s, e: self._grow_header(1, d[s:e]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._headers_done,
                "on_part_data": lambda d, s, e: self._take(d[s:e]),
                "on_part_end": self._end,
                "on_end": self._all_in,
            },
        )

    async def up_to_the_file(self) -> Mapping[str, str]:
        """The fields that stand before the file.

        Raises:
            Invalid: there is no file, or a field is too long or there twice.
            Malformed: it is no such form.
        """
        while not self._in_file:
            if not await self._more():
                raise Invalid.at(FILE_FIELD, "missing", "The form has no file.")
        return self.fields

    async def content(self) -> AsyncIterator[bytes]:
        """The file's bytes.

        Raises:
            Invalid: something comes behind the file.
            Malformed: the form ends too early.
        """
        while True:
            data, self._data = self._data, []
            for each in data:
                yield each
            if not await self._more():
                break
        if not self._is_whole:
            raise Malformed("The form ends before its last boundary.")

    async def _more(self) -> bool:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            return bool(self._data)
        try:
            self._parser.write(piece)
        except MultipartParseError:
            raise Malformed("The body is not the form that it claims to be.") from None
        return True

    def _begin(self) -> None:
        if self._had_file:
            raise Invalid.at(FILE_FIELD, "not_last", "The file must be the last field of the form.")
        self._headers = {}
        self._value = bytearray()

    def _begin_header(self) -> None:
        self._header = [b"", b""]

    def _grow_header(self, half: int, data: bytes) -> None:
        self._header[half] += data

    def _end_header(self) -> None:
        name, value = (half.decode("utf-8", "replace") for half in self._header)
        self._headers[name.lower()] = value

    def _headers_done(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == FILE_FIELD:
            self._in_file = self._had_file = True
            self.file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        elif self._name in self.fields or len(self.fields) >= FIELDS_MAX:
            raise Invalid([FieldError(pointer=self._name[:100], code="twice", detail="Once only.")])

    def _take(self, data: bytes) -> None:
        if self._in_file:
            self._data.append(bytes(data))
            return
        self._value += data
        if len(self._value) > FIELD_BYTES_MAX:
            detail = f"A field has at most {FIELD_BYTES_MAX:,} bytes."
            raise Invalid([FieldError(pointer=self._name[:100], code="too_long", detail=detail)])

    def _end(self) -> None:
        if self._in_file:
            self._in_file = False
            return
        try:
            self.fields[self._name] = self._value.decode()
        except UnicodeDecodeError:
            raise Invalid(
                [FieldError(pointer=self._name[:100], code="encoding", detail="This is no UTF-8.")]
            ) from None

    def _all_in(self) -> None:
        self._is_whole = True
