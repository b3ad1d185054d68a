"""Names, expiries and states of `cdp client` and `cdp key`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.channels.email import normalise
from cdp.cli.clients import expiry, key_state, sender_of
from cdp.domain.client import ApiKey
from cdp.domain.ids import ClientId
from cdp.errors import Invalid

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12h", NOW + timedelta(hours=12)),
        ("90d", NOW + timedelta(days=90)),
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T08:00:00+01:00", datetime(2030, 1, 31, 7, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_span_or_a_day(text, moment):
    assert expiry(text, now=NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "0d", "-3d", "2029-12-31", "99999999d"])
def test_an_expiry_that_means_nothing_or_has_passed_is_refused_in_one_sentence(text):
    with pytest.raises(Invalid) as refused:
        expiry(text, now=NOW)

    assert str(refused.value).endswith(".")


@given(st.text(max_size=100))
def test_any_client_has_a_sender_that_is_an_address(name):
    address = sender_of(name)

    assert normalise(address) == address


def test_a_client_name_stands_in_its_sender():
    assert sender_of("Linden & Loom") == "no-reply@linden-loom.example"


def test_a_key_says_how_it_stands():
    made = ApiKey(key_id="k", client_id=ClientId(bytes(16)), secret_hash=b"", created_at=NOW)

    def key(**changes: Any) -> ApiKey:
        return replace(made, **changes)

    later = NOW + timedelta(days=1)
    assert key_state(key(), NOW) == "in force"
    assert key_state(key(expires_at=later), NOW) == "until 2030-01-02 00:00"
    assert key_state(key(expires_at=NOW), NOW) == "expired 2030-01-01 00:00"
    assert key_state(key(revoked_at=NOW, expires_at=later), NOW) == "revoked 2030-01-01 00:00"
