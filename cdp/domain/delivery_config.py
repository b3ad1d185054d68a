"""Delivery configuration: fields that inherit from the platform to the client, one by one.

Campaign, segment and channel will be further levels of the same inheritance.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from cdp.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryConfig:
    """What one level says; None is said by the level above."""

    attempts_max: int | None = None
    backoff_base_s: float | None = None
    backoff_factor: float | None = None
    backoff_cap_s: float | None = None
    at_least_once: bool | None = None


def inherited(levels: Iterable[DeliveryConfig]) -> DeliveryConfig:
    """The levels as one, the widest first: the narrowest that names a field wins it."""
    merged: dict[str, object] = {}
    for level in levels:
        for field in fields(level):
            value = getattr(level, field.name)
            if value is not None:
                merged[field.name] = value
    return DeliveryConfig(**merged)  # type: ignore[arg-type]


def retry_policy(config: DeliveryConfig) -> RetryPolicy:
    """The policy that a configuration amounts to, the defaults filled in."""
    default = RetryPolicy()
    base_s = config.backoff_base_s or default.base_s
    return RetryPolicy(
        attempts_max=config.attempts_max or default.attempts_max,
        base_s=base_s,
        factor=config.backoff_factor or default.factor,
        cap_s=max(config.backoff_cap_s or default.cap_s, base_s),
        at_least_once=default.at_least_once
        if config.at_least_once is None
        else config.at_least_once,
    )
