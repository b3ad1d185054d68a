"""The builder against the standard library's parser, which reads back what was meant."""

import email
import re
import string
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage as ParsedMessage
from email.utils import getaddresses
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdp.channels.email import HEADERS_MAX, SUBJECT_CHARS_MAX
from cdp.domain.ids import ResultId
from cdp.ports.provider import EmailAddress, EmailMessage
from cdp.providers.email.mime import build

MESSAGE = EmailMessage(
    result_id=ResultId(bytes(range(16))),
    attempt=1,
    sender=EmailAddress(email="news@shop.example", name="The Shop"),
    to=EmailAddress(email="ada@example.org", name="Ada Lovelace"),
    subject="Your order",
    html="<p>It is on its way.</p>\n",
    text="It is on its way.\n",
    date=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    message_id="0190-1.2@shop.example",
    return_path="bounces@shop.example",
)
PLATFORM_HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]

safe = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=200
)
ascii_words = st.text(
    st.sampled_from(string.ascii_letters + string.punctuation + "  "), max_size=998
)
bodies = st.text(st.characters(codec="utf-8"), max_size=500) | st.sampled_from(
    ["", "\n", "\r", "\r\n", ".", "\n.\n", "\r\n.\r\n", "--=_000102030405060708090a0b0c0d0e0f--"]
)


def parsed(message: EmailMessage) -> ParsedMessage:
    raw = build(message)
    assert_is_well_formed(raw)
    result = email.message_from_bytes(raw, policy=policy.SMTP)
    assert isinstance(result, ParsedMessage)
    assert not result.defects
    return result


def assert_is_well_formed(raw: bytes) -> None:
    assert raw.endswith(b"\r\n")
    assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n")
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\0" not in raw
    head = raw.partition(b"\r\n\r\n")[0]
    for line in head.split(b"\r\n"):
        assert line.strip(), "a line of the head is empty"
        for word in re.findall(rb"=\?utf-8\?b\?[^?]*\?=", line):
            assert len(word) <= 75
            assert len(line) <= 76


def body_of(message: ParsedMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert isinstance(part, ParsedMessage)
    assert part["Content-Transfer-Encoding"] == "base64"
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


@pytest.mark.parametrize("octets", [0, 1, 56, 57, 58, 911, 912, 913, 1824, 1825, 5000])
def test_a_body_is_whole_and_in_lines_of_76_whatever_its_length(octets):
    text = "x" * octets

    message = parsed(replace(MESSAGE, text=text, html=None))

    encoded = message.get_payload()
    assert isinstance(encoded, str)
    lines = encoded.strip().split("\r\n")
    assert {len(line) for line in lines[:-1]} <= {76}
    assert message.get_payload(decode=True) == text.encode()


def with_crlf(text: str) -> str:
    return re.sub(r"\r\n|\r|\n", "\r\n", text)


def names_of(message: ParsedMessage) -> list[str]:
    return [name for name, _ in message.items()]


def mailboxes(message: ParsedMessage, name: str) -> list[tuple[str, str]]:
    # Not `addresses` of the parsed header: Python 3.11 keeps the space between two encoded words
    # of a display name, which RFC 2047, section 6.2, says to drop.
    raw = "".join(value for header, value in message.raw_items() if header == name)
    return [
        (str(make_header(decode_header(shown))), address)
        for shown, address in getaddresses([re.sub(r"\r\n", "", raw)])
    ]


def pairs(addresses: Iterable[EmailAddress]) -> list[tuple[str, str]]:
    return [(address.name, address.email) for address in addresses]


def test_a_whole_message_reads_back_as_it_was_meant():
    message = replace(
        MESSAGE,
        reply_to=EmailAddress(email="help@shop.example", name="Jürgen, Help"),
        cc=(EmailAddress(email="bob@example.org", name='Bob "B." Byte'),),
        bcc=(EmailAddress(email="hidden@example.org"),),
        headers=(("X-Campaign", "spring"), ("Feedback-ID", "a:b:c")),
    )

    result = parsed(message)

    assert names_of(result) == [
        "From",
        "To",
        "Cc",
        "Reply-To",
        "Subject",
        "Date",
        "Message-ID",
        "X-Campaign",
        "Feedback-ID",
        "MIME-Version",
        "Content-Type",
    ]
    assert mailboxes(result, "From") == [("The Shop", "news@shop.example")]
    assert mailboxes(result, "To") == [("Ada Lovelace", "ada@example.org")]
    assert mailboxes(result, "Cc") == [('Bob "B." Byte', "bob@example.org")]
    assert mailboxes(result, "Reply-To") == [("Jürgen, Help", "help@shop.example")]
    assert result["Subject"] == "Your order"
    assert result["Date"].datetime == message.date
    assert result["Message-ID"] == "<0190-1.2@shop.example>"
    assert result.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in result.iter_parts()] == ["text/plain", "text/html"]
    assert body_of(result, "plain") == "It is on its way.\r\n"
    assert body_of(result, "html") == "<p>It is on its way.</p>\r\n"


def test_a_bcc_is_nowhere_in_the_message():
    message = replace(MESSAGE, bcc=(EmailAddress(email="hidden@example.org", name="Hidden"),))

    assert build(message) == build(MESSAGE)
    assert b"idden" not in build(message)


@pytest.mark.parametrize(("kept", "dropped"), [("text", "html"), ("html", "text")])
def test_a_single_body_is_a_single_part(kept, dropped):
    changes: dict[str, Any] = {dropped: None}
    result = parsed(replace(MESSAGE, **changes))

    assert result.get_content_type() == {"text": "text/plain", "html": "text/html"}[kept]
    assert body_of(result, {"text": "plain", "html": "html"}[kept]) == with_crlf(
        getattr(MESSAGE, kept)
    )


def test_a_message_without_body_is_refused():
    with pytest.raises(ValueError, match="neither html nor text"):
        build(replace(MESSAGE, html=None, text=None))


def test_d7_the_same_message_is_the_same_bytes():
    again = replace(MESSAGE, attempt=7, deadline_s=1.0, return_path="other@shop.example")
    elsewhere = replace(MESSAGE, date=MESSAGE.date.astimezone(timezone(timedelta(hours=5))))

    assert build(MESSAGE) == build(again) == build(elsewhere)


def test_d7_the_boundary_comes_from_the_result_id():
    assert b'boundary="=_000102030405060708090a0b0c0d0e0f"' in build(MESSAGE)


@given(text=bodies, html=bodies)
def test_e3_bodies_read_back_and_no_line_could_end_the_content(text, html):
    raw = build(replace(MESSAGE, text=text, html=html))
    result = parsed(replace(MESSAGE, text=text, html=html))

    assert body_of(result, "plain") == with_crlf(text)
    assert body_of(result, "html") == with_crlf(html)
    assert b"\r\n." not in raw


@given(subject=safe | ascii_words)
@example(subject="")
@example(subject=" leading and trailing ")
@example(subject="two  spaces")
@example(subject="=?utf-8?q?shown_as_it_stands?=")
@example(subject="x" * SUBJECT_CHARS_MAX)
@example(subject="word " * 190 + "word")
@example(subject="ü" * SUBJECT_CHARS_MAX)
@example(subject="\U0001f600" * 40)
@example(subject="a" * 66 + " " + "b" * 80)
def test_e1_a_subject_reads_back_as_it_was_meant(subject):
    try:
        result = parsed(replace(MESSAGE, subject=subject))
    except ValueError:
        assert "=?" in subject
        return

    assert result["Subject"] == subject
    assert names_of(result) == PLATFORM_HEADERS


@given(names=st.lists(safe | ascii_words.map(lambda text: text[:300]), min_size=1, max_size=6))
@example(names=["Ada, the first", "(Ada)", "<Ada>", "Ada\\", '"', "Ada @ home", "a.b", "=?x?="])
@example(names=["ü" * 300, "", "x" * 320])
def test_e1_display_names_read_back_as_they_were_meant(names):
    copies = tuple(
        EmailAddress(email=f"reader{number}@example.org", name=name)
        for number, name in enumerate(names)
    )
    try:
        result = parsed(replace(MESSAGE, to=copies[0], cc=copies, reply_to=copies[-1]))
    except ValueError:
        assert any("=?" in name for name in names)
        return

    assert mailboxes(result, "To") == pairs(copies[:1])
    assert mailboxes(result, "Cc") == pairs(copies)
    assert mailboxes(result, "Reply-To") == pairs(copies[-1:])


@given(value=safe | ascii_words)
@example(value="=?utf-8?q?shown_as_it_stands?=")
def test_e1_an_extra_header_reads_back_as_it_was_meant(value):
    try:
        result = parsed(replace(MESSAGE, headers=(("X-Campaign", value),)))
    except ValueError:
        assert "=?" in value
        return

    assert result["X-Campaign"] == value
    assert names_of(result).count("X-Campaign") == 1
    assert len(names_of(result)) == len(PLATFORM_HEADERS) + 1


wild = st.text(st.characters(), max_size=40) | st.sampled_from(
    [
        "x\r\nBcc: evil@example.org",
        "x\nBcc: evil@example.org",
        "x\rBcc: evil@example.org",
        "x\r\n\r\nbody",
        "=?utf-8?q?x=0D=0ABcc=3A_evil=40example.org?=",
        "=?utf-8?b?eA0KQmNjOiBldmls?=",
        "x\u2028Bcc: evil@example.org",
        "x\x85Bcc: evil@example.org",
    ]
)


@given(name=wild, value=wild, subject=wild, display_name=wild, address=wild)
@example(
    name="X-A\r\nBcc: evil@example.org\r\nX-B", value="", subject="", display_name="", address=""
)
def test_e1_nothing_adds_a_header_or_a_recipient(name, value, subject, display_name, address):
    for message in (
        replace(MESSAGE, headers=((name, value),)),
        replace(MESSAGE, subject=subject),
        replace(MESSAGE, to=EmailAddress(email="ada@example.org", name=display_name)),
        replace(MESSAGE, to=EmailAddress(email=f"{address}@example.org")),
        replace(MESSAGE, message_id=address),
    ):
        try:
            raw = build(message)
        except ValueError:
            continue
        result = email.message_from_bytes(raw, policy=policy.SMTPUTF8)
        expected = PLATFORM_HEADERS + [header for header, _ in message.headers]
        assert sorted(names_of(result)) == sorted(expected)
        assert len(mailboxes(result, "To")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "x\r\nBcc: evil@example.org"},
        {"subject": "=?utf-8?q?x=0D=0ABcc=3A_evil?="},
        {"subject": "x\0"},
        {"subject": "\ud800"},
        {"subject": "x" * (SUBJECT_CHARS_MAX + 1)},
        {"to": EmailAddress(email="ada@example.org", name="x\nBcc: evil@example.org")},
        {"to": EmailAddress(email="ada@example.org", name="x" * 321)},
        {"to": EmailAddress(email="ada@example.org>\r\nBcc: <evil@example.org")},
        {"to": EmailAddress(email="ada@example.org, evil@example.org")},
        {"to": EmailAddress(email="=?utf-8?q?x=2C?=@example.org")},
        {"to": EmailAddress(email="")},
        {"cc": tuple(EmailAddress(email="ada@example.org") for _ in range(51))},
        {"message_id": "x@y>\r\nBcc: evil@example.org"},
        {"message_id": "<x@y>"},
        {"headers": (("X-A\r\nBcc", "evil@example.org"),)},
        {"headers": (("X-A", "x\r\nBcc: evil@example.org"),)},
        {"headers": (("Bcc", "evil@example.org"),)},
        {"headers": (("X-A", "x"),) * (HEADERS_MAX + 1)},
        {"headers": (("List-Unsubscribe", "<https://bücher.example/>"),)},
        {"headers": (("List-Unsubscribe", "=?utf-8?q?x?="),)},
        {"headers": (("List-Unsubscribe", f"<https://example.org/{'x' * 980}>"),)},
        {"html": "\ud800"},
    ],
)
def test_e1_what_no_header_may_hold_is_refused(changes):
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        build(replace(MESSAGE, **changes))


@pytest.mark.parametrize("url_chars", [20, 60, 90, 300, 900])
def test_e2_a_long_list_unsubscribe_stays_plain(url_chars):
    url = f"<https://example.org/u/{'x' * url_chars}>"
    for value in (
        url,
        f"{url}, <mailto:u@example.org?subject=stop>",
        f"<mailto:u@example.org>, {url}",
    ):
        message = replace(
            MESSAGE,
            headers=(
                ("List-Unsubscribe", value),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ),
        )
        raw = build(message)
        result = parsed(message)

        assert url.encode() in raw
        assert b"=?" not in raw
        assert result["List-Unsubscribe"] == value
        assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw
        assert re.search(rb"\r\nList-Unsubscribe: <", raw)


def test_e4_a_non_ascii_local_part_stands_as_utf_8():
    raw = build(replace(MESSAGE, to=EmailAddress(email="jürgen@example.org", name="Jürgen")))

    assert "<jürgen@example.org>".encode() in raw
