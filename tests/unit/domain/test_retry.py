from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.domain.retry import (
    FULL_ATTEMPTS_MAX,
    FULL_WAIT,
    LOST_MAX,
    RETRIED,
    GiveUp,
    Retry,
    RetryPolicy,
    after_failure,
    backoff,
)
from cdp.ports.provider import FailureClass

FOREVER = ("address", "content", "policy", "permanent")
draws = st.floats(0, 1, exclude_max=True)


@st.composite
def policies(draw, /, **fixed):
    initial_s = draw(st.floats(0.001, 3600))
    return RetryPolicy(
        attempts_max=draw(st.integers(1, 50)),
        initial_s=initial_s,
        factor=draw(st.floats(1, 1000)),
        cap_s=initial_s * draw(st.floats(1, 1000)),
        jitter=draw(st.floats(0, 1)),
        **fixed,
    )


@given(policy=policies(), attempt=st.integers(1, 10_000), draw=draws)
def test_the_wait_never_leaves_the_bounds_of_its_policy(policy, attempt, draw):
    wait = backoff(policy, attempt=attempt, draw=draw)

    assert timedelta(0) <= wait <= timedelta(seconds=policy.cap_s)


@given(policy=policies(), attempt=st.integers(1, 100), draw=draws)
def test_a_later_attempt_never_waits_less_at_the_same_draw(policy, attempt, draw):
    earlier = backoff(policy, attempt=attempt, draw=draw)
    later = backoff(policy, attempt=attempt + 1, draw=draw)

    assert earlier <= later


@given(
    policy=policies(),
    attempt=st.integers(1, 100),
    failure=st.sampled_from([*FailureClass, "unknown"]),
    lost=st.integers(0, 10),
    draw=draws,
)
def test_no_more_attempts_are_made_than_the_policy_allows(policy, attempt, failure, lost, draw):
    verdict = after_failure(policy, attempt=attempt, failure=failure, lost=lost, draw=draw)

    assert isinstance(verdict, GiveUp) or attempt < policy.attempts_max


@pytest.mark.parametrize("failure", FOREVER)
def test_what_was_refused_for_good_is_given_up_for_that_reason(failure):
    verdict = after_failure(RetryPolicy(), attempt=1, failure=failure, draw=0.5)

    assert verdict == GiveUp(reason=failure)


@pytest.mark.parametrize("failure", ["transient", "throttled", "config", "unknown"])
def test_passing_trouble_is_tried_again(failure):
    assert isinstance(after_failure(RetryPolicy(), attempt=1, failure=failure, draw=0.5), Retry)


def test_without_jitter_the_waits_are_the_whole_of_their_bounds():
    policy = RetryPolicy(initial_s=2, factor=3, cap_s=20, jitter=0)

    waits = [backoff(policy, attempt=n, draw=0.0).total_seconds() for n in range(1, 5)]

    assert waits == [2, 6, 18, 20]


def test_half_jitter_draws_the_upper_half():
    policy = RetryPolicy(initial_s=10, cap_s=10, jitter=0.5)

    assert backoff(policy, attempt=1, draw=0.0).total_seconds() == 5
    assert backoff(policy, attempt=1, draw=0.5).total_seconds() == 7.5


@pytest.mark.parametrize("failure", sorted(RETRIED))
def test_what_is_not_to_be_retried_is_given_up_at_once(failure):
    policy = RetryPolicy(retry_on=RETRIED - {failure})

    assert after_failure(policy, attempt=1, failure=failure, draw=0.5) == GiveUp(reason=failure)


def test_a_refusal_by_policy_is_retried_where_that_is_asked_for():
    policy = RetryPolicy(retry_on=frozenset({"policy"}))

    assert isinstance(after_failure(policy, attempt=1, failure="policy", draw=0.5), Retry)


def test_every_failure_class_is_decided_on_by_name():
    decided = {"transient", "throttled", "config", "mailbox_full", *FOREVER}

    assert {failure.value for failure in FailureClass} == decided


def test_an_unknown_outcome_is_not_repeated_where_at_most_once_is_asked_for():
    policy = RetryPolicy(at_least_once=False)

    verdict = after_failure(policy, attempt=1, failure="unknown", draw=0.5)

    assert verdict == GiveUp(reason="outcome_unknown")


@given(policy=policies(at_least_once=False), attempt=st.integers(1, 100), draw=draws)
def test_at_most_once_never_retries_the_unknown(policy, attempt, draw):
    verdict = after_failure(policy, attempt=attempt, failure="unknown", draw=draw)

    assert isinstance(verdict, GiveUp)


def test_the_last_attempt_is_the_last():
    policy = RetryPolicy(attempts_max=3)

    assert isinstance(after_failure(policy, attempt=2, failure="transient", draw=0.5), Retry)
    last = after_failure(policy, attempt=3, failure="transient", draw=0.5)
    assert last == GiveUp(reason="attempts_spent")


def test_d10_what_took_so_many_workers_with_it_is_poison():
    policy = RetryPolicy(attempts_max=50)

    before = after_failure(policy, attempt=4, failure="unknown", lost=LOST_MAX - 1, draw=0.5)
    after = after_failure(policy, attempt=5, failure="unknown", lost=LOST_MAX, draw=0.5)

    assert isinstance(before, Retry)
    assert after == GiveUp(reason="poison")


def test_a_full_mailbox_is_tried_a_few_times_over_days():
    policy = RetryPolicy(attempts_max=12, cap_s=48 * 3600)

    waits = [
        after_failure(policy, attempt=attempt, failure="mailbox_full", draw=0.0)
        for attempt in range(1, FULL_ATTEMPTS_MAX + 1)
    ]

    assert waits == [Retry(wait=FULL_WAIT), Retry(wait=FULL_WAIT), GiveUp(reason="mailbox_full")]


def test_a_full_mailbox_waits_no_longer_than_the_policys_cap():
    policy = RetryPolicy(initial_s=1, cap_s=60)

    verdict = after_failure(policy, attempt=1, failure="mailbox_full", draw=0.0)

    assert verdict == Retry(wait=timedelta(seconds=60))


@given(policy=policies(), asked_s=st.floats(0, 86_400), draw=draws)
def test_the_wait_is_no_shorter_than_what_the_provider_asked_for(policy, asked_s, draw):
    verdict = after_failure(
        policy, attempt=1, failure="throttled", retry_after_s=asked_s, draw=draw
    )

    assert isinstance(verdict, GiveUp) or verdict.wait >= timedelta(seconds=asked_s)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts_max": 0},
        {"initial_s": 0.0},
        {"initial_s": 10.0, "cap_s": 9.0},
        {"factor": 0.5},
        {"jitter": 1.1},
        {"retry_on": frozenset({"address"})},
    ],
)
def test_a_policy_that_makes_no_sense_cannot_be_made(wrong):
    with pytest.raises(AssertionError):
        RetryPolicy(**wrong)
