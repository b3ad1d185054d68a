"""Delivery configuration: fields that inherit, one by one, from the platform down to a segment.

A level is the platform's or a client's, and is for all, or only for what has a certain channel,
campaign or segment. Of each field the narrowest level that names it counts: the client's before the
platform's; of one owner's the level that names more; of as many the one that names the segment,
then the campaign, then the channel.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from cdp.domain.ids import ClientId
from cdp.domain.lane import Priority
from cdp.domain.local_hours import LocalHours, SendHours, zone_of
from cdp.domain.rate_budget import RATE_LEAST, RATE_MOST, RateLimit
from cdp.domain.retry import REPEATABLE, RetryPolicy

LEVELS_MAX: Final = 1_000
"""Levels that a client may have."""
POLICIES_MAX: Final = 10_000
PROVIDERS_MAX: Final = 5
"""Providers that a message may be tried with, in turn."""

BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "attempts_max": (1, 100),
    "backoff_initial_s": (0.01, 86_400),
    "backoff_factor": (1, 10),
    "backoff_cap_s": (0.01, 7 * 86_400),
    "backoff_jitter": (0, 1),
    "rate_per_s": (RATE_LEAST, RATE_MOST),
    "domain_rate_per_s": (RATE_LEAST, RATE_MOST),
    "expires_after_s": (1, 366 * 86_400),
}
"""The least and the most that each number may be."""
_ANY_MOMENT: Final = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryConfig:
    """What one level says; None is said by the level above."""

    attempts_max: int | None = None
    backoff_initial_s: float | None = None
    backoff_factor: float | None = None
    backoff_cap_s: float | None = None
    backoff_jitter: float | None = None
    retry_on: tuple[str, ...] | None = None
    at_least_once: bool | None = None
    providers: tuple[str, ...] | None = None
    """Names of providers, in the order in which they are tried."""
    sender: str | None = None
    """The name of a sender on the channel that the level is for."""
    priority: str | None = None
    """`high`, `normal` or `low`, of what names none itself."""
    lane: str | None = None
    """Asked for; so far priority alone decides on the lane."""
    rate_per_s: float | None = None
    """Of all that the level is for together, one client's on one channel."""
    domain_rate_per_s: float | None = None
    """The same to each domain that emails go to; at the platform's levels of all clients."""
    send_window: str | None = None
    """As `LocalHours` reads it."""
    quiet_hours: str | None = None
    timezone: str | None = None
    """Of recipients of whom none is known."""
    expires_after_s: float | None = None
    """Of what names no time itself, from when it is accepted, or to be sent if that is later."""
    track_opens: bool | None = None
    track_clicks: bool | None = None

    def said(self) -> dict[str, Any]:
        """The fields that this level names."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in given.items() if value is not None}

    def faults(self) -> dict[str, str]:
        """What is wrong, by field."""
        wrong = {
            name: f"This must be from {least:g} to {most:g}."
            for name, (least, most) in BOUNDS.items()
            if (value := getattr(self, name)) is not None and not least <= value <= most
        }
        if self.providers is not None and not 1 <= len(self.providers) <= PROVIDERS_MAX:
            wrong["providers"] = f"Name 1 to {PROVIDERS_MAX} providers."
        if self.retry_on is not None and not REPEATABLE.issuperset(self.retry_on):
            wrong["retry_on"] = f"Those that can be retried are {', '.join(sorted(REPEATABLE))}."
        return wrong | self._wrong_hours()

    def _wrong_hours(self) -> dict[str, str]:
        wrong = {}
        for name, read in (
            ("send_window", LocalHours.read),
            ("quiet_hours", LocalHours.read),
            ("timezone", zone_of),
        ):
            try:
                if (text := getattr(self, name)) is not None:
                    read(text)
            except ValueError as error:
                wrong[name] = str(error)
        if not wrong:
            try:
                SendHours.read(self.send_window, self.quiet_hours).opens(_ANY_MOMENT, UTC)
            except ValueError as error:
                wrong["quiet_hours"] = str(error)
        return wrong


FIELDS: Final = tuple(each.name for each in fields(DeliveryConfig))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigScope:
    """What a level is for, or what a communication is: on both sides None names nothing."""

    channel: str | None = None
    campaign: str | None = None
    segment: str | None = None

    def covers(self, other: "ConfigScope") -> bool:
        """Whether what this names is so of the other."""
        return (
            self.channel in (None, other.channel)
            and self.campaign in (None, other.campaign)
            and self.segment in (None, other.segment)
        )

    @property
    def narrowness(self) -> tuple[int, bool, bool, bool]:
        """Compares two scopes of one owner: the narrower is greater."""
        named = (self.segment is not None, self.campaign is not None, self.channel is not None)
        return (sum(named), *named)


ALL: Final = ConfigScope()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigLevel:
    """What is said in one place, and where."""

    id: bytes
    client_id: ClientId | None
    """None: the platform's, for all clients."""
    scope: ConfigScope
    config: DeliveryConfig
    version: int
    """Rises with each change, from 1."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedConfig:
    """What counts for a communication, and which level said each field."""

    config: DeliveryConfig
    origins: Mapping[str, ConfigLevel]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigLimits:
    """How fast communications of a scope may go. Each level that says so has a budget."""

    all: RateLimit | None = None
    domain: RateLimit | None = None
    """For each domain; its key is what those of the domains begin with."""


NO_LIMITS: Final = ConfigLimits()
_DOMAIN: Final = "domain/"


def is_of_a_domain(key: str) -> bool:
    """Whether a budget is that of one domain, so that others of the same kind may have room."""
    return key.startswith(_DOMAIN)


@dataclass(frozen=True, slots=True)
class ConfigLevels:
    """All levels that may count for one client; what they say of a scope it makes once."""

    levels: Sequence[ConfigLevel]
    _resolved: dict[ConfigScope, tuple[ResolvedConfig, RetryPolicy]] = field(default_factory=dict)

    def resolve(self, scope: ConfigScope) -> ResolvedConfig:
        """What counts for communications of this scope, and where it comes from."""
        return self._of(scope)[0]

    def retry_policy(self, scope: ConfigScope) -> RetryPolicy:
        """The retry policy that this amounts to."""
        return self._of(scope)[1]

    def config(self, scope: ConfigScope) -> DeliveryConfig:
        """What counts, without where it comes from."""
        return self._of(scope)[0].config

    def limits(self, client_id: ClientId, scope: ConfigScope) -> ConfigLimits:
        """How fast a client's communications of this scope may go.

        The platform's rate is each client's own; its rate to a domain is of all clients together,
        since that domain knows only who delivers.
        """
        resolved = self._of(scope)[0]
        config, origins = resolved.config, resolved.origins
        if config.rate_per_s is None and config.domain_rate_per_s is None:
            return NO_LIMITS
        overall = domain = None
        if config.rate_per_s is not None:
            key = f"config/{origins['rate_per_s'].id.hex()}/{client_id.hex()}"
            overall = RateLimit(key, config.rate_per_s)
        if config.domain_rate_per_s is not None:
            key = f"{_DOMAIN}{origins['domain_rate_per_s'].id.hex()}"
            domain = RateLimit(key, config.domain_rate_per_s)
        return ConfigLimits(all=overall, domain=domain)

    def _of(self, scope: ConfigScope) -> tuple[ResolvedConfig, RetryPolicy]:
        found = self._resolved.get(scope)
        if found is None:
            if len(self._resolved) >= POLICIES_MAX:
                self._resolved.clear()
            resolved = inherited(self.levels, scope)
            policy = retry_policy(resolved.config, scope.channel)
            found = self._resolved[scope] = resolved, policy
        return found


def inherited(levels: Iterable[ConfigLevel], scope: ConfigScope) -> ResolvedConfig:
    """What all levels say together for communications of this scope."""
    covering = [level for level in levels if level.scope.covers(scope)]
    covering.sort(key=lambda level: (level.client_id is not None, level.scope.narrowness))
    values: dict[str, Any] = {}
    origins: dict[str, ConfigLevel] = {}
    for level in covering:
        said = level.config.said()
        values |= said
        origins |= dict.fromkeys(said, level)
    return ResolvedConfig(config=DeliveryConfig(**values), origins=origins)


AT_MOST_ONCE: Final = frozenset({"sms"})
"""Channels on which an attempt with an unknown outcome is not repeated where nothing is said: a
text message costs money, and a second one is seen."""


def retry_policy(config: DeliveryConfig, channel: str | None = None) -> RetryPolicy:
    """The policy that a configuration amounts to on a channel, the defaults filled in.

    A cap below the first wait, which two levels can say together, is raised to it.
    """
    default = RetryPolicy()
    initial_s = _or(config.backoff_initial_s, default.initial_s)
    return RetryPolicy(
        attempts_max=_or(config.attempts_max, default.attempts_max),
        initial_s=initial_s,
        factor=_or(config.backoff_factor, default.factor),
        cap_s=max(_or(config.backoff_cap_s, default.cap_s), initial_s),
        jitter=_or(config.backoff_jitter, default.jitter),
        retry_on=default.retry_on if config.retry_on is None else frozenset(config.retry_on),
        at_least_once=_or(config.at_least_once, channel not in AT_MOST_ONCE),
        providers=1 if config.providers is None else len(config.providers),
    )


def effective(config: DeliveryConfig, channel: str | None = None) -> dict[str, Any]:
    """Every field with the value that counts on a channel."""
    policy = retry_policy(config, channel)
    return {
        "attempts_max": policy.attempts_max,
        "backoff_initial_s": policy.initial_s,
        "backoff_factor": policy.factor,
        "backoff_cap_s": policy.cap_s,
        "backoff_jitter": policy.jitter,
        "retry_on": sorted(policy.retry_on),
        "at_least_once": policy.at_least_once,
        "providers": list(config.providers or ()),
        "sender": config.sender,
        "priority": config.priority or Priority.NORMAL.word,
        "lane": config.lane or LANE_OF_PRIORITY,
        "rate_per_s": config.rate_per_s,
        "domain_rate_per_s": config.domain_rate_per_s,
        "send_window": config.send_window,
        "quiet_hours": config.quiet_hours,
        "timezone": config.timezone or "UTC",
        "expires_after_s": config.expires_after_s,
        "track_opens": config.track_opens,
        "track_clicks": config.track_clicks,
    }


LANE_OF_PRIORITY: Final = "of its priority"


def _or(said: Any, default: Any) -> Any:
    return default if said is None else said
