"""What may be said of an upload is what those who read files know."""

from typing import get_args

from cdp.file_formats.headers import DELIMITERS
from cdp.file_formats.reading import FileKind
from cdp.file_formats.text import ENCODINGS
from cdp.http.file_models import Encoding, FileOptionsIn


def words(name: str) -> set[str]:
    """The values that an option may have."""
    found = FileOptionsIn.model_json_schema()["properties"][name]["anyOf"]
    return {word for each in found for word in each.get("enum", [])}


def test_every_encoding_that_is_read_may_be_declared_and_no_other():
    assert get_args(Encoding) == ENCODINGS


def test_every_format_and_delimiter_that_is_read_may_be_declared_and_no_other():
    assert words("format") == set(FileKind)
    assert words("delimiter") == set(DELIMITERS)
