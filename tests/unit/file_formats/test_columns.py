"""A row becomes just what a POST would have said, and what is wrong is said of its column."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdp.errors import Invalid
from cdp.file_formats.columns import Columns, UploadDefaults, with_defaults
from cdp.file_formats.csv_output import csv_lines
from cdp.file_formats.csv_rows import CsvReader, CsvRow
from cdp.file_formats.faults import FILE_FAULTS, ROW_FAULTS, FileRefused
from cdp.file_formats.headers import folded
from cdp.http.communication_models import CommunicationIn
from cdp.http.json_input import validate
from tests.unit.file_formats.sources import read

EMAIL = UploadDefaults(channel="email")


def row_of(*cells):
    return CsvRow(1, list(cells), None, 0, 0)


def request(header, cells, defaults=EMAIL):
    """The request that a row makes, which must be one that a POST may have."""
    made = Columns(header, defaults).request_of(row_of(*cells))
    assert isinstance(made, dict), made
    validate(CommunicationIn, made)
    return made


def faults(header, cells, defaults=EMAIL):
    """What is wrong with a row, as pairs of code and column."""
    made = Columns(header, defaults).request_of(row_of(*cells))
    assert isinstance(made, list)
    assert all(fault.code in ROW_FAULTS for fault in made)
    return [(fault.code, fault.column) for fault in made]


def refused(header, defaults=EMAIL):
    with pytest.raises(FileRefused) as caught:
        Columns(header, defaults)
    assert caught.value.code in FILE_FAULTS
    return caught.value


def test_a_row_is_a_request_and_what_is_no_field_is_data_of_its_recipient():
    made = request(
        ["Email Address", "NAME", "locale", "Send At", "priority", "Points", "first name"],
        ["ada@example.org", " Ada ", "en", "2026-12-01T09:00:00Z", "High", " 7 ", "Ada"],
    )

    assert made == {
        "channel": "email",
        "to": [
            {
                "email": "ada@example.org",
                "name": "Ada",
                "locale": "en",
                "data": {"Points": " 7 ", "first_name": "Ada"},
            }
        ],
        "send_at": "2026-12-01T09:00:00Z",
        "priority": "high",
    }


def test_every_field_of_an_email_has_a_column():
    header = [
        "to", "timezone", "template id", "campaignId", "segment", "topic", "expires_at",
        "reference", "metadata.Order-Id", "metadata.a.b", "tracking.opens", "Tracking . Clicks",
        "cc", "bcc", "reply_to", "reply_to.name", "headers.X-Order.No",
    ]  # fmt: skip
    cells = [
        "ada@example.org", "Europe/Berlin", "welcome", "spring", "new", "news",
        "2027-01-01T00:00:00+01:00", "r-1", "17", "x", "TRUE", "no",
        "b@example.org; c@example.org", "d@example.org", "e@example.org", "Eve", "9",
    ]  # fmt: skip

    assert request(header, cells) == {
        "channel": "email",
        "to": [{"email": "ada@example.org", "timezone": "Europe/Berlin"}],
        "template": "welcome",
        "campaign": "spring",
        "segment": "new",
        "topic": "news",
        "expires_at": "2027-01-01T00:00:00+01:00",
        "reference": "r-1",
        "metadata": {"Order-Id": "17", "a.b": "x"},
        "tracking": {"opens": True, "clicks": False},
        "cc": [{"email": "b@example.org"}, {"email": "c@example.org"}],
        "bcc": [{"email": "d@example.org"}],
        "reply_to": {"email": "e@example.org", "name": "Eve"},
        "headers": {"X-Order.No": "9"},
    }


@pytest.mark.parametrize(
    ("channel", "header", "cells", "expected"),
    [
        (
            "email",
            ["e-mail", "content.subject", "content.text"],
            ["a@example.org", "Hi", "Ho"],
            {"to": [{"email": "a@example.org"}], "content": {"subject": "Hi", "text": "Ho"}},
        ),
        (
            "sms",
            ["Phone Number", "content.text"],
            ["'+4915112345678", "Ho"],
            {"to": [{"phone": "+4915112345678"}], "content": {"text": "Ho"}},
        ),
        (
            "push",
            ["deviceToken", "platform", "content.title", "content.body", "content.ttl_s",
             "content.data.a.b"],
            ["t" * 20, "FCM", "Hi", "Ho", "60", "1"],
            {
                "to": [{"device_token": "t" * 20, "platform": "fcm"}],
                "content": {"title": "Hi", "body": "Ho", "ttl_s": 60, "data": {"a.b": "1"}},
            },
        ),
        (
            "push",
            ["subscription.endpoint", "subscription.keys.p256dh", "subscription.keys.auth"],
            ["https://push.example.com/x", "p", "a"],
            {
                "to": [
                    {
                        "subscription": {
                            "endpoint": "https://push.example.com/x",
                            "keys": {"p256dh": "p", "auth": "a"},
                        }
                    }
                ]
            },
        ),
        (
            "in_app",
            ["User ID", "content.title", "content.body", "content.action_url", "content.data.a.b"],
            ["u1", "Hi", "Ho", "/x", "1"],
            {
                "to": [{"user": "u1"}],
                "content": {
                    "title": "Hi", "body": "Ho", "action_url": "/x", "data": {"a": {"b": "1"}},
                },
            },
        ),
        (
            "webhook",
            ["url", "content.payload.order.id", "content.payload.order.total"],
            ["https://hooks.example.com/", "17", "9"],
            {
                "to": [{"url": "https://hooks.example.com/"}],
                "content": {"payload": {"order": {"id": "17", "total": "9"}}},
            },
        ),
        (
            "webhook",
            ["to", "content.payload"],
            ["https://hooks.example.com/", "text"],
            {
                "to": [{"url": "https://hooks.example.com/"}],
                "content": {"payload": "text"},
            },
        ),
    ],
)  # fmt: skip
def test_every_channel_has_its_columns(channel, header, cells, expected):
    made = request(header, cells, UploadDefaults(channel=channel))

    assert made == {"channel": channel, **expected}


def test_dotted_names_nest_and_the_prefix_data_is_no_part_of_the_name():
    made = request(
        ["to", "order.no", "order.items.first", "data.Order.total", "data.name", "data.data.x"],
        ["a@example.org", "1", "book", "9", "Ada", "y"],
    )

    assert made["to"][0]["data"] == {
        "order": {"no": "1", "items": {"first": "book"}},
        "Order": {"total": "9"},
        "name": "Ada",
        "data": {"x": "y"},
    }


def test_an_empty_cell_is_a_field_that_is_left_out():
    made = request(["to", "name", "points", "a.b", "send_at"], ["a@example.org", " ", "", "  ", ""])

    assert made == {"channel": "email", "to": [{"email": "a@example.org"}]}


def test_addresses_of_other_channels_are_data():
    made = request(["email", "phone", "url"], ["a@example.org", "'+49151", "https://example.com"])

    assert made["to"][0]["data"] == {"phone": "+49151", "url": "https://example.com"}


def test_defaults_fill_what_a_row_lacks():
    defaults = UploadDefaults(
        channel="email", template="spring", campaign="c", segment="s", topic="t", priority="low",
        send_at="2026-12-01T09:00:00Z", expires_at="2026-12-02T09:00:00Z",
    )  # fmt: skip

    made = request(["to", "campaign", "topic"], ["a@example.org", "own", ""], defaults)

    assert made == {**defaults.given(), "to": [{"email": "a@example.org"}], "campaign": "own"}


def test_a_default_template_is_not_added_to_content():
    defaults = UploadDefaults(channel="sms", template="spring")
    header = ["to", "content.text"]

    with_content = request(header, ["+4915112345678", "Hi"], defaults)
    without = request(header, ["+4915112345678", ""], defaults)

    assert "template" not in with_content
    assert without["template"] == "spring"


def test_defaults_fill_lines_of_ndjson_too():
    given = UploadDefaults(channel="email", template="spring").given()

    assert with_defaults({"to": []}, given) == {"to": [], **given}
    assert with_defaults({"channel": "sms", "template": None}, given) == {
        "channel": "sms",
        "template": None,
    }
    assert with_defaults({"content": {"text": "x"}}, given) == {
        "content": {"text": "x"},
        "channel": "email",
    }
    assert with_defaults([1], given) == [1]


def test_a_row_may_name_its_channel():
    header = ["channel", "email", "phone", "content.subject", "content.text", "device"]
    columns = Columns(header, UploadDefaults())

    mail = columns.request_of(row_of("E-Mail", "a@example.org", "", "Hi", "Ho", "x"))
    sms = columns.request_of(row_of(" SMS ", "a@example.org", "+4915112345678", "", "Ho", ""))

    assert mail == {
        "channel": "email",
        "to": [{"email": "a@example.org", "data": {"device": "x"}}],
        "content": {"subject": "Hi", "text": "Ho"},
    }
    assert sms == {
        "channel": "sms",
        "to": [{"phone": "+4915112345678", "data": {"email": "a@example.org"}}],
        "content": {"text": "Ho"},
    }


def test_what_is_wrong_with_the_channel_of_a_row_is_said():
    header = ["Channel", "email", "phone", "content.subject"]
    none = UploadDefaults()

    assert faults(header, ["fax", "a@example.org", "", ""], none) == [
        ("channel_unknown", "Channel")
    ]
    assert faults(header, ["", "a@example.org", "", ""], none) == [("channel_unknown", "Channel")]
    assert faults(header, ["in-app", "a@example.org", "", ""], none) == [("address_missing", "")]
    assert faults(header, ["sms", "", "+4915112345678", "Hi"], none) == [
        ("column_foreign", "content.subject")
    ]
    assert request(header, ["", "a@example.org", "", "Hi"])["channel"] == "email"


def test_a_cell_that_can_not_be_converted_is_said_of_its_column():
    header = ["to", "Tracking.Opens", "tracking.clicks"]

    assert faults(header, ["a@example.org", "maybe", "2"]) == [
        ("boolean_invalid", "Tracking.Opens"),
        ("boolean_invalid", "tracking.clicks"),
    ]
    push = UploadDefaults(channel="push")
    for cell in ("1.5", "1e3", "x", "9" * 16, "\u0661"):
        assert faults(["to", "content.ttl_s"], ["t" * 20, cell], push) == [
            ("number_invalid", "content.ttl_s")
        ]


def test_a_ragged_row_keeps_its_fault():
    rows, _ = read(CsvReader(), [b"to,a\nx\n"])

    assert Columns(["to", "a"], EMAIL).request_of(rows[0]) == [rows[0].fault]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (["to", "email address"], "column_twice"),
        (["to", "reply_to", "reply_to.email"], "column_twice"),
        (["to", "template", "template id"], "column_twice"),
        (["to", "points", "data.Points"], "column_twice"),
        (["to", "a", "a.b"], "column_conflict"),
        (["to", "a.b.c", "data.a.b"], "column_conflict"),
        (["to", "data"], "column_forbidden"),
        (["to", "Metadata"], "column_forbidden"),
        (["to", "content"], "column_forbidden"),
        (["to", "content.title"], "column_forbidden"),
        (["to", "tracking.other"], "column_forbidden"),
        (["to.email"], "column_forbidden"),
        (["to", "$where"], "column_forbidden"),
        (["to", "a.$where"], "column_forbidden"),
        (["to", "metadata.$where"], "column_forbidden"),
        (["to", "__proto__"], "column_forbidden"),
        (["to", "a.__class__"], "column_forbidden"),
        (["to", "constructor.prototype"], "column_forbidden"),
        (["to", "data.Prototype"], "column_forbidden"),
        (["to", "a..b"], "column_forbidden"),
        (["to", "a."], "column_forbidden"),
        (["to", ".a"], "column_forbidden"),
        (["to", "data."], "column_forbidden"),
        (["to", "a.b.c.d.e.f.g.h.i"], "column_forbidden"),
        (["name", "phone"], "address_missing"),
    ],
)
def test_a_header_that_can_not_be_used_is_refused(header, code):
    assert refused(header).code == code


def test_a_refused_header_says_what_there_is():
    assert refused(["to", "content.title"]).detail == (
        "On the channel email there is no field 'content.title'. There is: content.subject, "
        "content.html, content.text."
    )
    assert refused(["name"]).detail == (
        "No column has the address. It may be called: to, email, email address."
    )


def test_a_channel_must_be_said():
    assert refused(["to"], UploadDefaults()).code == "channel_missing"
    assert refused(["to"], UploadDefaults(channel="fax")).code == "channel_unknown"
    assert refused(["channel", "name"], UploadDefaults()).code == "address_missing"


NAMES = st.text(st.sampled_from("abcAB $_-.'=\u00fc\u0301\u00e9"), min_size=1, max_size=6)


@given(names=st.lists(NAMES, max_size=4), cell=st.text(max_size=5))
@example(names=["cc", "b-c c"], cell="x")
def test_whatever_the_columns_are_called_the_request_is_none_or_one_that_a_post_may_have(
    names, cell
):
    raw = csv_lines([["to", *names], ["a@example.org", *[cell] * len(names)]])
    reader = CsvReader(delimiter=",")
    rows, _ = read(reader, [raw])
    if reader.layout is None or not rows:
        return
    try:
        columns = Columns(reader.layout.header, EMAIL)
    except FileRefused:
        return

    made = columns.request_of(rows[0])

    assert isinstance(made, dict)
    try:
        validate(CommunicationIn, made)
    except Invalid as refusal:
        # Of such names only these are fields.
        named = {folded(columns.column_of(each.pointer, "email")) for each in refusal.errors}
    else:
        named = set()
    assert named <= {"cc", "bcc"}


def test_where_each_column_goes_is_said_for_each_channel_that_has_an_address():
    header = ["Channel", "E-mail", "phone", "first name", "metadata.Order"]
    found = {each.name: each.pointers for each in Columns(header, UploadDefaults()).places()}

    assert list(found) == header
    assert found["Channel"] == {"email": "/channel", "sms": "/channel"}
    assert found["E-mail"] == {"email": "/to/0/email", "sms": "/to/0/data/E_mail"}
    assert found["phone"] == {"email": "/to/0/data/phone", "sms": "/to/0/phone"}
    assert found["first name"] == dict.fromkeys(("email", "sms"), "/to/0/data/first_name")
    assert found["metadata.Order"] == dict.fromkeys(("email", "sms"), "/metadata/Order")


def test_a_column_of_another_channel_goes_nowhere_on_this_one():
    header = ["channel", "email", "phone", "content.subject"]
    found = {each.name: each.pointers for each in Columns(header, UploadDefaults()).places()}

    assert found["content.subject"] == {"email": "/content/subject"}
