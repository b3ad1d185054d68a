import itertools
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.delivery_config import (
    ALL,
    BOUNDS,
    FIELDS,
    ConfigLevel,
    ConfigLevels,
    ConfigScope,
    DeliveryConfig,
    effective,
    inherited,
    retry_policy,
)
from cdp.domain.ids import ClientId
from cdp.domain.retry import REPEATABLE, RetryPolicy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT = ClientId(b"c" * 16)

numbers: dict[str, Any] = {
    name: st.none() | (st.integers if name == "attempts_max" else st.floats)(*bounds)  # type: ignore[arg-type]
    for name, bounds in BOUNDS.items()
}
configs = st.builds(
    DeliveryConfig,
    retry_on=st.none() | st.sets(st.sampled_from(sorted(REPEATABLE))).map(tuple),
    at_least_once=st.none() | st.booleans(),
    **numbers,
)
names = st.none() | st.sampled_from(["a", "b"])
scopes = st.builds(ConfigScope, channel=names, campaign=names, segment=names)
communications = st.builds(
    ConfigScope, channel=st.sampled_from(["a", "b"]), campaign=names, segment=names
)


def level(config: DeliveryConfig, scope: ConfigScope = ALL, *, platform: bool = False):
    return ConfigLevel(
        id=b"",
        client_id=None if platform else CLIENT,
        scope=scope,
        config=config,
        version=1,
        created_at=NOW,
        updated_at=NOW,
    )


levels = st.lists(
    st.builds(level, configs, scopes, platform=st.booleans()),
    max_size=6,
    unique_by=lambda each: (each.client_id, each.scope),
)


@given(levels=levels, scope=communications)
def test_of_each_field_the_narrowest_level_that_covers_it_and_names_it_counts(levels, scope):
    resolved = inherited(levels, scope)

    for name in FIELDS:
        saying = [
            each
            for each in levels
            if each.scope.covers(scope) and getattr(each.config, name) is not None
        ]
        value = getattr(resolved.config, name)
        if not saying:
            assert value is None
            assert name not in resolved.origins
            continue
        origin = resolved.origins[name]
        assert value == getattr(origin.config, name)
        for other in saying:
            if other.client_id == origin.client_id:
                assert other.scope.narrowness <= origin.scope.narrowness
            else:
                assert origin.client_id is not None


def test_the_order_of_the_levels_is_the_documented_one():
    """Each level alone says another number of attempts; taken away one by one, the next counts."""
    named = {"segment": "vip", "campaign": "spring", "channel": "email"}
    order = [
        ("segment", "campaign", "channel"),
        ("segment", "campaign"),
        ("segment", "channel"),
        ("campaign", "channel"),
        ("segment",),
        ("campaign",),
        ("channel",),
        (),
    ]
    ladder = [
        level(
            DeliveryConfig(attempts_max=10 * rank + platform + 1),
            ConfigScope(**{name: named[name] for name in names}),
            platform=bool(platform),
        )
        for platform in (0, 1)
        for rank, names in enumerate(order)
    ]

    for gone in range(len(ladder)):
        resolved = inherited(reversed(ladder[gone:]), ConfigScope(**named))
        assert resolved.origins["attempts_max"] == ladder[gone]


@given(levels=levels, scope=communications)
def test_a_level_for_something_else_changes_nothing(levels, scope):
    others = [
        level(DeliveryConfig(attempts_max=99), other)
        for other in itertools.starmap(_scope, itertools.product([None, "a", "b", "z"], repeat=3))
        if not other.covers(scope)
    ]

    assert inherited([*levels, *others], scope).config == inherited(levels, scope).config


def _scope(channel, campaign, segment):
    return ConfigScope(channel=channel, campaign=campaign, segment=segment)


@given(levels=levels, scope=communications)
def test_every_configuration_amounts_to_a_policy_that_makes_sense(levels, scope):
    policy = ConfigLevels(levels).retry_policy(scope)

    assert policy.attempts_max >= 1
    assert 0 < policy.initial_s <= policy.cap_s


@given(levels=levels, asked=st.lists(communications, min_size=1, max_size=5))
def test_what_is_answered_from_memory_is_the_same(levels, asked):
    known = ConfigLevels(levels)

    for scope in [*asked, *asked]:
        assert known.resolve(scope) == inherited(levels, scope)
        assert known.retry_policy(scope) == retry_policy(inherited(levels, scope).config)


def test_where_nothing_is_said_the_defaults_hold():
    assert retry_policy(inherited([], ALL).config) == RetryPolicy()


def test_what_is_said_is_in_the_policy_and_is_what_is_shown():
    said = DeliveryConfig(
        attempts_max=3,
        backoff_initial_s=1,
        backoff_factor=3,
        backoff_cap_s=9,
        backoff_jitter=0,
        retry_on=("policy",),
        at_least_once=False,
        providers=("first", "second"),
        priority="low",
        lane="high",
        timezone="Asia/Tokyo",
    )

    assert retry_policy(said) == RetryPolicy(
        attempts_max=3,
        initial_s=1,
        factor=3,
        cap_s=9,
        jitter=0,
        retry_on=frozenset({"policy"}),
        at_least_once=False,
        providers=2,
    )
    assert {
        name: tuple(v) if isinstance(v, list) else v for name, v in effective(said).items()
    } == {each.name: getattr(said, each.name) for each in fields(said)}


def test_a_cap_below_the_initial_wait_is_raised_to_it():
    policy = retry_policy(DeliveryConfig(backoff_initial_s=50, backoff_cap_s=10))

    assert policy.cap_s == 50


@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_out_of_its_bounds_is_a_fault(name):
    least, most = BOUNDS[name]

    def faults(value: Any) -> dict[str, str]:
        return replace(DeliveryConfig(), **{name: value}).faults()

    assert faults(least) == faults(most) == {}
    assert set(faults(least - 0.01)) == set(faults(most + 1)) == {name}


def test_what_no_later_attempt_can_mend_is_not_retried():
    assert set(DeliveryConfig(retry_on=("address",)).faults()) == {"retry_on"}
    assert DeliveryConfig(retry_on=()).faults() == {}
