import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.channels.email import (
    ADDRESS_OCTETS_MAX,
    HEADER_VALUE_CHARS_MAX,
    check_header,
    check_header_text,
    holds_encoded_word,
    needs_smtputf8,
    normalise,
    suppression_key,
)

CHARS = st.characters(codec="utf-8")


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("ada@example.org", "ada@example.org"),
        ("Ada.Lovelace+news@Mail.EXAMPLE.org", "Ada.Lovelace+news@mail.example.org"),
        ("o'hara_{x}@a-b.example", "o'hara_{x}@a-b.example"),
        ("ada@Bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
        ("ju\u0308rgen@example.org", "jürgen@example.org"),
        ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
        ("ada@mail.internal", "ada@mail.internal"),
        (f"{'a' * 64}@example.org", f"{'a' * 64}@example.org"),
    ],
)
def test_e4_an_address_has_one_form(address, normal):
    assert normalise(address) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@",
        "@example.org",
        "ada@",
        "ada@localhost",
        "ada@example..org",
        "ada..b@example.org",
        ".ada@example.org",
        "ada@-example.org",
        "ada@example.123",
        "ada@192.0.2.1",
        "ada@[192.0.2.1]",
        "ada@xn--zz.example",
        "ada@exa_mple.org",
        '"ada"@example.org',
        '"ada b"@example.org',
        "Ada <ada@example.org>",
        "ada@example.org (Ada)",
        "ada@example.org, bob@example.org",
        "ada@bob@example.org",
        "ada\uff20example.org",
        f"{'a' * 65}@example.org",
        f"{'ü' * 33}@example.org",
        f"ada@{'a.' * 126}org",
        f"ada@{'a' * 64}.org",
        "=?utf-8?q?x=0D=0A?=@example.org",
    ],
)
def test_e4_what_is_no_address_to_send_to_is_refused_without_repeating_it(address):
    with pytest.raises(ValueError, match=r"address|domain|@") as refusal:
        normalise(address)

    if len(address) > 5:
        assert address not in str(refusal.value)


@pytest.mark.parametrize("at", range(16))
@pytest.mark.parametrize(
    "char", ["\r", "\n", "\r\n", "\0", "\t", " ", "\x7f", "\x85", "\u2028", "\ud800"]
)
def test_e1_an_address_holds_no_space_and_no_control(char, at):
    address = "ada@example.org"

    with pytest.raises(ValueError, match=r"control|address"):
        normalise(address[:at] + char + address[at:])


@pytest.mark.parametrize(
    "spelling", ["Ada@EXAMPLE.org", "ada@example.ORG", "ADA@Example.Org", "ada@example.org"]
)
def test_e4_no_spelling_escapes_suppression(spelling):
    assert suppression_key(spelling) == "ada@example.org"


def test_e4_a_suppression_key_is_lower_case_nfc_and_a_label():
    assert suppression_key("JU\u0308RGEN@BÜCHER.example") == "jürgen@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("address", "needed"),
    [
        ("ada@example.org", False),
        ("ada@xn--bcher-kva.example", False),
        ("ada@bücher.example", False),
        ("jürgen@example.org", True),
    ],
)
def test_e4_only_a_non_ascii_local_part_needs_smtputf8(address, needed):
    assert needs_smtputf8(address) is needed


@given(
    st.text(CHARS, max_size=300) | st.builds("{}@{}.example".format, st.text(CHARS), st.text(CHARS))
)
def test_e4_what_passes_is_stable_and_within_bounds(address):
    try:
        normal = normalise(address)
    except ValueError:
        return

    assert normalise(normal) == normal
    assert suppression_key(suppression_key(normal)) == suppression_key(normal)
    assert len(normal.encode()) <= ADDRESS_OCTETS_MAX
    assert normal.count("@") == 1
    assert not any(char <= " " or char in '<>,;:\\"' for char in normal)
    assert normal.rpartition("@")[2].isascii()


@pytest.mark.parametrize(
    "name", ["X-Campaign", "List-Unsubscribe", "Feedback-ID", "Auto-Submitted"]
)
def test_a_header_of_the_clients_own_passes(name):
    check_header(name, "plain text, <https://example.org/?a=?b>")


@pytest.mark.parametrize(
    "name",
    [
        "From",
        "TO",
        "cc",
        "Bcc",
        "Subject",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "content-transfer-encoding",
        "Return-Path",
        "Sender",
        "Received",
        "DKIM-Signature",
        "Reply-To",
        "Resent-To",
        "ARC-Seal",
        "Authentication-Results",
    ],
)
def test_e1_a_header_of_the_platforms_is_refused(name):
    with pytest.raises(ValueError, match="set by the platform"):
        check_header(name, "x")


@pytest.mark.parametrize("name", ["", "X A", "X:", "X\r\nBcc", "X\n", "X\0", "Xü", " X", "X" * 77])
def test_e1_a_header_name_is_printable_ascii(name):
    with pytest.raises(ValueError, match="header name"):
        check_header(name, "x")


@pytest.mark.parametrize(
    "value",
    [
        "x\r\nBcc: evil@example.org",
        "x\nBcc: evil@example.org",
        "x\rBcc: evil@example.org",
        "x\r\n folded",
        "x\0",
        "x\ty",
        "x\x7f",
        "x\x85y",
        "x\u2028y",
        "half \ud83d",
        "=?utf-8?q?x=0D=0ABcc=3A_evil?=",
        "=?utf-8?Q?x=0ABcc=3A_evil?=",
        "=?utf-8?b?eA0KQmNjOiBldmls?=",
        "=?UTF-8?B?eA0KQmNjOiBldmls?=",
        "=?utf-8?b?eA0KQmNjOiBldmls",
        "=?utf-7?q?x+AA0ACg-Bcc?=",
        "=?utf-16?b?DQA=?=",
        "=?unknown?q?x=0D=0A?=",
        "=?us-ascii*en?q?x=0D=0A?=",
        "=?utf-8?q?x y=0D=0A?=",
        "=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3D0D=3D0A=3F=3D?=",
        "=?utf-8?q?x=00?=",
        "=?utf-8?b?A?=",
        "ok =?utf-8?q?ok?= =?utf-8?q?=0D=0A?=",
        "x" * (HEADER_VALUE_CHARS_MAX + 1),
    ],
)
def test_e1_what_is_unsafe_in_a_header_also_once_decoded_is_refused(value):
    if value == "=?utf-8?b?eA0KQmNjOiBldmls":
        check_header("X-Campaign", value)  # unfinished: no reader decodes it
        return
    with pytest.raises(ValueError, match=r"header"):
        check_header("X-Campaign", value)


def test_an_encoded_word_that_decodes_to_plain_text_passes():
    check_header_text("=?utf-8?q?J=C3=BCrgen?=", what="the subject")
    assert holds_encoded_word("=?utf-8?q?J=C3=BCrgen?=")
    assert not holds_encoded_word("https://example.org/?a=?b")


@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", ["=?a?q?", "=?", "?=", "=?a?q?x?=", "=?a?b?"])
def test_a_hostile_header_is_checked_in_linear_time(piece):
    text = (piece + " ") * (HEADER_VALUE_CHARS_MAX // (len(piece) + 1))
    for value in (text, "?=" + text[2:], text[:-2] + "?="):
        try:
            check_header("X-Campaign", value)
        except ValueError:
            continue
