"""A10: what is sealed is opened only with its key, and only where it belongs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.services.secret_box import SecretBox, Unopenable

OLD = SecretBox({"2025": b"o" * 32})
NEW = SecretBox({"2026": b"n" * 32, "2025": b"o" * 32})


@given(secret=st.text(st.characters(codec="utf-8")), bound_to=st.binary(max_size=40))
def test_a10_a_sealed_secret_is_opened_again(secret, bound_to):
    sealed = OLD.seal(secret, bound_to=bound_to)

    assert OLD.open(sealed, bound_to=bound_to) == secret


def test_a10_it_does_not_show_in_what_is_stored_and_is_never_sealed_alike():
    sealed = [OLD.seal("canary-4711", bound_to=b"c") for _ in range(2)]

    assert b"canary" not in sealed[0]
    assert sealed[0] != sealed[1]


def test_a10_moved_to_another_owner_it_stays_shut():
    sealed = OLD.seal("secret", bound_to=b"client-1provider-1")

    with pytest.raises(Unopenable):
        OLD.open(sealed, bound_to=b"client-2provider-1")


def test_a10_a_new_key_seals_and_the_old_one_still_opens():
    before = OLD.seal("secret", bound_to=b"x")
    after = NEW.seal("secret", bound_to=b"x")

    assert NEW.open(before, bound_to=b"x") == NEW.open(after, bound_to=b"x") == "secret"
    with pytest.raises(Unopenable):
        OLD.open(after, bound_to=b"x")


@given(at=st.integers(0, 100), to=st.integers(0, 255))
def test_a10_whatever_was_changed_stays_shut(at, to):
    sealed = bytearray(OLD.seal("secret", bound_to=b"x"))
    at %= len(sealed)
    if sealed[at] == to:
        return
    sealed[at] = to

    with pytest.raises(Unopenable):
        OLD.open(bytes(sealed), bound_to=b"x")


@pytest.mark.parametrize("sealed", [b"", b"\x00", b"\x04", b"\x042025", b"\xff" * 300])
def test_a10_what_was_never_sealed_stays_shut(sealed):
    with pytest.raises(Unopenable):
        OLD.open(sealed, bound_to=b"x")
