"""What `cdp config set` reads from its arguments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.cli.delivery_configs import described, read_fields, read_scope
from cdp.domain.delivery_config import BOUNDS, ConfigScope, DeliveryConfig
from cdp.errors import Invalid


def test_fields_are_read_by_name():
    given = ["attempts_max=3", "backoff_initial_s=0.5", "at_least_once=no", "retry_on=transient"]

    assert read_fields(given) == DeliveryConfig(
        attempts_max=3, backoff_initial_s=0.5, at_least_once=False, retry_on=("transient",)
    )


@given(number=st.integers(1, 100))
def test_what_is_written_is_what_is_read(number):
    assert read_fields([f"attempts_max={number}"]).attempts_max == number


def test_providers_are_named_in_their_order():
    assert read_fields(["providers=ses,mail"]) == DeliveryConfig(providers=("ses", "mail"))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("attempts_max", "NAME=VALUE"),
        ("attempts=3", "NAME=VALUE"),
        ("=3", "NAME=VALUE"),
        ("attempts_max=0", "greater than or equal to 1"),
        ("attempts_max=few", "integer"),
        ("attempts_max=", "integer"),
        (f"backoff_cap_s={BOUNDS['backoff_cap_s'][1] + 1}", "less than or equal"),
        ("retry_on=address", "'transient'"),
        ("at_least_once=maybe", "boolean"),
    ],
)
def test_what_means_nothing_is_refused_in_a_sentence(text, part):
    with pytest.raises(Invalid) as refused:
        read_fields([text])

    [error] = refused.value.errors
    assert part in error.detail
    assert error.detail.endswith(".")


def test_a_scope_is_what_the_options_name():
    assert read_scope(channel="email", campaign=None, segment="vip") == ConfigScope(
        channel="email", segment="vip"
    )


@pytest.mark.parametrize("named", [{"channel": "fax"}, {"campaign": ""}, {"segment": "a\nb"}])
def test_what_no_communication_can_have_is_refused(named):
    with pytest.raises(Invalid) as refused:
        read_scope(**named)

    assert [error.pointer for error in refused.value.errors] == list(named)


def test_a_level_is_described_by_what_it_names():
    scope = ConfigScope(channel="email", segment="vip")

    assert described(scope) == ", channel email, segment vip"
    assert described(ConfigScope()) == ""
