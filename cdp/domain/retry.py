"""When a failed attempt is tried again, and when it is given up.

Pure: the caller brings the policy, the attempt and the random draw. `QueueingService` asks here
after every DELIVERY_FAILED; nothing else decides a retry.
"""

from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final

_EXPONENT_MAX: Final = 40

MAILBOX_FULL: Final = "mailbox_full"
RETRIED: Final = frozenset({"transient", "throttled", "config", MAILBOX_FULL})
"""Kinds of failure that are retried where nothing else is said."""
REPEATABLE: Final = RETRIED | {"policy"}
"""Those that can be. A wrong address or content is no better later."""
PROVIDER_FAILURES: Final = frozenset({"transient", "throttled", "config"})
"""Kinds of failure that another provider may not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how fast a failed attempt is repeated. The platform's defaults are for email.

    Source: RFC 5321, section 4.5.4.1: the first retries within an hour, giving up after days.
    """

    attempts_max: int = 12
    initial_s: float = 60.0
    """The longest wait after the first failure."""
    factor: float = 2.0
    cap_s: float = 6 * 3600.0
    jitter: float = 1.0
    """The share of a wait that is drawn: 1 is full jitter, 0 is none."""
    retry_on: frozenset[str] = RETRIED
    at_least_once: bool = True
    """Whether an attempt with an unknown outcome is tried again, at the risk of a double."""
    providers: int = 1
    """How many providers take turns. Where one is in trouble, the next is tried at once."""

    def __post_init__(self) -> None:
        assert self.attempts_max >= 1
        assert 0 < self.initial_s <= self.cap_s
        assert self.factor >= 1
        assert 0 <= self.jitter <= 1
        assert self.retry_on <= REPEATABLE
        assert self.providers >= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again after `wait`."""

    wait: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Mark it undeliverable, for this reason."""

    reason: str


UNKNOWN: Final = "unknown"
FULL_ATTEMPTS_MAX: Final = 3
FULL_WAIT: Final = timedelta(hours=24)
LOST_MAX: Final = 5
"""Workers that a message may take with it before it is poison (rule D10)."""


def backoff(policy: RetryPolicy, *, attempt: int, draw: float) -> timedelta:
    """How long to wait after attempt number `attempt` has failed.

    Jitter: a provider that comes back is not met by all that waits at once.

    Args:
        policy: whose initial wait, factor and cap bound the wait.
        attempt: the one that failed, counted from 1.
        draw: a random number in [0, 1).
    """
    assert attempt >= 1
    assert 0 <= draw < 1
    # In seconds and capped, since initial * factor**attempt leaves timedelta's range early.
    growth = policy.factor ** min(attempt - 1, _EXPONENT_MAX)
    bound_s = min(policy.initial_s * growth, policy.cap_s)
    return timedelta(seconds=bound_s * (1 - policy.jitter * (1 - draw)))


def after_failure(
    policy: RetryPolicy,
    *,
    attempt: int,
    failure: str,
    lost: int = 0,
    retry_after_s: float | None = None,
    draw: float,
) -> Retry | GiveUp:
    """What becomes of a result whose attempt number `attempt` failed.

    Args:
        policy: of its client, channel, campaign and segment.
        attempt: the one that failed, counted from 1.
        failure: a `FailureClass` or `unknown`.
        lost: attempts in a row whose worker vanished.
        retry_after_s: what the provider asked for; the wait is no shorter.
        draw: a random number in [0, 1).
    """
    if lost >= LOST_MAX:
        return GiveUp(reason="poison")
    if failure == UNKNOWN and not policy.at_least_once:
        return GiveUp(reason="outcome_unknown")
    if failure != UNKNOWN and failure not in policy.retry_on:
        return GiveUp(reason=failure)
    if failure == MAILBOX_FULL:
        spent = attempt >= min(FULL_ATTEMPTS_MAX, policy.attempts_max)
        wait = min(FULL_WAIT, timedelta(seconds=policy.cap_s))
        return GiveUp(reason=failure) if spent else Retry(wait=wait)
    if attempt >= policy.attempts_max:
        return GiveUp(reason="attempts_spent")
    if failure in PROVIDER_FAILURES and attempt % policy.providers:
        return Retry(wait=timedelta(0))
    # A round over all providers counts as one attempt.
    wait = backoff(policy, attempt=ceil(attempt / policy.providers), draw=draw)
    return Retry(wait=max(wait, timedelta(seconds=retry_after_s or 0)))
