"""What `cdp sender set` reads from its options."""

import pytest

from cdp.cli.senders import read_identity, shown
from cdp.domain.sender import Identity
from cdp.errors import Invalid

EMAIL = Identity(channel="email", address="news@acme.example", display_name="Acme")


def test_options_are_read_as_the_api_reads_them():
    given = {"channel": "email", "email": "news@ACME.example", "display_name": "Acme"}

    assert read_identity(**given, originator=None) == EMAIL
    assert read_identity(channel="sms", originator="ACME").address == "ACME"
    assert read_identity(channel="push") == Identity(channel="push")


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"channel": "fax"}, "--channel"),
        ({"channel": "email"}, "--email"),
        ({"channel": "email", "email": "nobody"}, "--email"),
        ({"channel": "sms", "originator": "A", "reply_to": "a@b.example"}, "--reply-to"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_by_its_name(given, option):
    with pytest.raises(Invalid) as refused:
        read_identity(**given)

    assert [error.pointer for error in refused.value.errors] == [option]


def test_a_list_shows_what_recipients_see():
    assert shown(EMAIL) == "Acme <news@acme.example>"
    assert shown(Identity(channel="sms", address="ACME")) == "ACME"
    assert shown(Identity(channel="push")) == ""
