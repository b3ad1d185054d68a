"""Phone numbers have one form, and a text takes the segments that a network would count (E11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.channels.content import UnfitContent
from cdp.channels.sms import (
    SEGMENTS_MAX,
    Encoding,
    finish,
    normalise,
    normalise_sender,
    segments_of,
)


@pytest.mark.parametrize(
    ("text", "encoding", "count"),
    [
        ("", Encoding.GSM, 1),
        ("a" * 160, Encoding.GSM, 1),
        ("a" * 161, Encoding.GSM, 2),
        ("a" * 306, Encoding.GSM, 2),
        ("a" * 307, Encoding.GSM, 3),
        ("ñÅΔ" + "a" * 157, Encoding.GSM, 1),
        ("€" * 80, Encoding.GSM, 1),
        ("€" * 81, Encoding.GSM, 2),
        # An escape is not torn from its character: 76 of them fill 152 of 153 places.
        ("€" * 152, Encoding.GSM, 2),
        ("€" * 153, Encoding.GSM, 3),
        ("ç" * 70, Encoding.UCS2, 1),
        ("ç" * 71, Encoding.UCS2, 2),
        ("ç" * 134, Encoding.UCS2, 2),
        ("ç" * 135, Encoding.UCS2, 3),
        ("😀" * 35, Encoding.UCS2, 1),
        ("😀" * 36, Encoding.UCS2, 2),
        # Half of a pair is no character: 33 pairs fill 66 of 67 places.
        ("😀" * 66, Encoding.UCS2, 2),
        ("😀" * 67, Encoding.UCS2, 3),
    ],
)
def test_e11_a_text_takes_so_many_segments(text, encoding, count):
    counted = segments_of(text)

    assert (counted.encoding, counted.count) == (encoding, count)


@given(st.text(max_size=900), st.text(max_size=50))
def test_e11_a_longer_text_never_takes_fewer_segments(text, more):
    assert 1 <= segments_of(text).count <= segments_of(text + more).count


@pytest.mark.parametrize(
    ("given_number", "normal"),
    [
        ("+4915112345678", "+4915112345678"),
        ("+49 151 1234-5678", "+4915112345678"),
        ("+49 (0) 151 12345678", "+4915112345678"),
        (" +1 415 555 2671 ", "+14155552671"),
    ],
)
def test_a_number_has_one_form(given_number, normal):
    assert normalise(given_number) == normal


@pytest.mark.parametrize(
    "number",
    ["", "+", "0151 12345678", "+49", "+999 123456789", "+49151123456789012345",
     "tel:+4915112345678", "+4915112345678;ext=5", "+49151\u0661\u0662\u0663\u0664",
     "+49 151 1234\r\n5678x", "nobody"],
)  # fmt: skip
def test_what_is_no_number_is_refused_without_being_repeated(number):
    with pytest.raises(ValueError, match=r"^(a|this|no) ") as refused:
        normalise(number)
    assert not number or number not in str(refused.value)


@given(st.text(max_size=45))
def test_a_number_that_passes_passes_again_as_it_is(text):
    try:
        normal = normalise(text)
    except ValueError:
        return
    assert normalise(normal) == normal
    assert normal.startswith("+")
    assert normal[1:].isascii()
    assert normal[1:].isdigit()


@pytest.mark.parametrize("sender", ["+4915112345678", "12345", "Example", "My Shop 24"])
def test_a_sender_is_a_number_a_short_code_or_a_name(sender):
    assert normalise_sender(sender) == sender


@pytest.mark.parametrize("sender", ["", "12", "123456789", "Example Shop", "Ex\nample", "Größe"])
def test_any_other_sender_is_refused(sender):
    with pytest.raises(ValueError, match="a sender is"):
        normalise_sender(sender)


def test_a_text_is_sent_without_the_space_around_it_and_never_empty():
    assert finish({"text": "  Hi \n"}) == {"text": "Hi"}
    with pytest.raises(UnfitContent) as refused:
        finish({"text": " \n "})
    assert refused.value.fault.code == "content_empty"


def test_a_text_of_too_many_segments_is_refused():
    assert finish({"text": "a" * 153 * SEGMENTS_MAX})
    with pytest.raises(UnfitContent) as refused:
        finish({"text": "a" * (153 * SEGMENTS_MAX + 1)})
    assert refused.value.fault.code == "content_too_large"
