from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.delivery_config import DeliveryConfig, inherited, retry_policy
from cdp.domain.retry import RetryPolicy

seconds = st.floats(0.1, 100_000)
configs = st.builds(
    DeliveryConfig,
    attempts_max=st.none() | st.integers(1, 50),
    backoff_base_s=st.none() | seconds,
    backoff_factor=st.none() | st.floats(1, 10),
    backoff_cap_s=st.none() | seconds,
    at_least_once=st.none() | st.booleans(),
)


@given(levels=st.lists(configs, max_size=5))
def test_of_each_field_the_narrowest_level_that_names_it_counts(levels):
    merged = asdict(inherited(levels))

    for name, value in merged.items():
        said = [asdict(level)[name] for level in levels if asdict(level)[name] is not None]
        assert value == (said[-1] if said else None)


@given(levels=st.lists(configs, min_size=2, max_size=4))
def test_inheriting_in_two_steps_is_inheriting_in_one(levels):
    assert inherited([inherited(levels[:-1]), levels[-1]]) == inherited(levels)


@given(config=configs)
def test_every_configuration_amounts_to_a_policy_that_makes_sense(config):
    policy = retry_policy(config)

    assert policy.attempts_max >= 1
    assert 0 < policy.base_s <= policy.cap_s


def test_where_nothing_is_said_the_defaults_hold():
    assert retry_policy(inherited([])) == RetryPolicy()


def test_what_is_said_is_in_the_policy():
    said = DeliveryConfig(
        attempts_max=3, backoff_base_s=1, backoff_factor=3, backoff_cap_s=9, at_least_once=False
    )

    assert retry_policy(said) == RetryPolicy(
        attempts_max=3, base_s=1, factor=3, cap_s=9, at_least_once=False
    )


def test_a_cap_below_the_base_is_raised_to_it():
    policy = retry_policy(DeliveryConfig(backoff_base_s=50, backoff_cap_s=10))

    assert policy.cap_s == 50
