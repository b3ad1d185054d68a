"""What is wrong with the request that a row makes is said of the column that it came from."""

import pytest

from cdp.errors import Invalid
from cdp.file_formats.columns import Columns, UploadDefaults
from cdp.file_formats.csv_rows import CsvRow
from cdp.http.communication_models import CommunicationIn
from cdp.http.json_input import validate

EMAIL = UploadDefaults(channel="email")


def row_of(*cells):
    return CsvRow(1, list(cells), None, 0, 0)


def test_the_errors_of_a_request_are_said_of_the_columns_that_they_came_from():
    columns = Columns(["Email Address", "Time Zone", "cc", "Send At"], EMAIL)
    made = columns.request_of(row_of("nobody", "Mars/Base", "b@example.org, x", "tomorrow"))

    with pytest.raises(Invalid) as caught:
        validate(CommunicationIn, made)
    said = {(columns.column_of(e.pointer, "email"), e.pointer, e.code) for e in caught.value.errors}

    assert said == {
        ("Email Address", "/to/0/email", "address_invalid"),
        ("Time Zone", "/to/0/timezone", "timezone_unknown"),
        ("cc", "/cc/1/email", "string_too_short"),
        ("Send At", "/send_at", "time_invalid"),
    }


def test_an_address_that_is_missing_is_said_of_its_column():
    columns = Columns(["Phone", "a"], UploadDefaults(channel="sms"))
    made = columns.request_of(row_of("", "b"))

    with pytest.raises(Invalid) as caught:
        validate(CommunicationIn, made)

    assert columns.column_of(caught.value.errors[0].pointer, "sms") == "Phone"


def test_what_came_from_no_column_is_said_of_none():
    columns = Columns(["to", "content.html"], EMAIL)

    assert columns.column_of("/template", "email") == ""
    assert columns.column_of("/content", "email") == "content.html"
    assert columns.column_of("/to", "email") == "to"
    assert columns.column_of("", "email") == ""
