import base64
import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdp.domain.ids import ID_BYTES, ResultId
from cdp.domain.tracking_token import (
    LINKS_MAX,
    MAC_BYTES,
    NONCE_BYTES,
    LinkReference,
    links_id_of,
    read_link,
    read_pixel,
    sign_links,
    sign_pixel,
)

KEY = b"k" * 32
result_ids = st.binary(min_size=ID_BYTES, max_size=ID_BYTES).map(ResultId)
nonces = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
links = st.builds(
    lambda result_id, nonce, index: LinkReference(
        links_id=links_id_of(result_id, nonce), index=index
    ),
    result_id=result_ids,
    nonce=nonces,
    index=st.integers(0, LINKS_MAX - 1),
)
foreign_keys = st.binary(min_size=1, max_size=64).filter(lambda key: key != KEY)
tokens = st.one_of(
    result_ids.map(lambda result_id: sign_pixel(result_id, key=KEY)),
    links.map(lambda link: sign_links(link.links_id, link.index + 1, key=KEY)[link.index]),
)


def read(text, key=KEY):
    return read_pixel(text, key=key), read_link(text, key=key)


def raw_of(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def text_of(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@given(result_id=result_ids)
def test_a_pixels_token_reads_back_and_is_no_links(result_id):
    assert read(sign_pixel(result_id, key=KEY)) == (result_id, None)


@given(link=links)
def test_a_links_token_reads_back_and_is_no_pixels(link):
    assert read(sign_links(link.links_id, link.index + 1, key=KEY)[link.index]) == (None, link)


def test_each_of_a_lists_tokens_names_its_link():
    links_id = links_id_of(ResultId(bytes(16)), bytes(8))

    tokens = sign_links(links_id, LINKS_MAX, key=KEY)

    assert [read_link(token, key=KEY) for token in tokens] == [
        LinkReference(links_id=links_id, index=index) for index in range(LINKS_MAX)
    ]
    assert sign_links(links_id, 0, key=KEY) == []


@given(result_id=result_ids, nonce=nonces)
def test_a_link_names_its_result(result_id, nonce):
    link = LinkReference(links_id=links_id_of(result_id, nonce), index=0)

    assert link.result_id == result_id


@given(token=tokens, data=st.data())
def test_e9_a_token_with_any_bit_flipped_is_none(token, data):
    raw = bytearray(raw_of(token))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8

    assert read(text_of(bytes(raw))) == (None, None)


@given(token=tokens, data=st.data())
def test_e9_a_token_with_any_character_changed_is_none(token, data):
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters())
    assume(other != token[index])

    assert read(token[:index] + other + token[index + 1 :]) == (None, None)


@given(token=tokens, key=foreign_keys)
def test_a_token_of_another_key_is_none(token, key):
    assert read(token, key=key) == (None, None)


@given(text=st.text(max_size=200))
def test_whatever_else_comes_is_none(text):
    assert read(text) == (None, None)


@given(token=tokens, rest=st.sampled_from(["=", "==", "A", "\n", " ", "AAAA"]))
def test_a_token_with_something_behind_it_is_none(token, rest):
    assert read(token + rest) == (None, None)


@pytest.mark.parametrize(
    "body", [b"", b"o", b"x" + bytes(16), b"o" + bytes(17), b"c" + bytes(24), b"c" + bytes(26)]
)
def test_what_has_our_mac_but_another_shape_is_none(body):
    mac = hashlib.blake2b(body, key=KEY, digest_size=MAC_BYTES).digest()

    assert read(text_of(body + mac)) == (None, None)


def test_a_nonce_of_another_length_is_our_mistake():
    with pytest.raises(AssertionError):
        links_id_of(ResultId(bytes(16)), b"short")
