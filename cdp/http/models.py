"""What callers send, as pydantic models: strict, closed, and the source of the OpenAPI schemas."""

import re
import unicodedata
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from cdp.channels.email import (
    ADDRESS_OCTETS_MAX,
    DISPLAY_NAME_CHARS_MAX,
    check_header_text,
    normalise,
)
from cdp.domain.delivery_config import BOUNDS, PROVIDERS_MAX
from cdp.domain.local_hours import PATTERN, TEXT_MAX

NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
METADATA_MAX: Final = 50
YEAR_MAX: Final = 9000
"""So that no sum of times leaves what a date can hold."""

_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_ZONES: Final = zoneinfo.available_timezones()
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"


def checked(check: Callable[[str], str], code: str) -> Callable[[str], str]:
    """A validator that says what `check` raises, under this code."""

    def validate(value: str) -> str:
        try:
            return check(value)
        except ValueError as error:
            raise PydanticCustomError(code, "{why}", {"why": str(error)}) from None

    return validate


def header_text(what: str) -> Callable[[str], str]:
    """A check that text may stand in a header."""

    def check(value: str) -> str:
        check_header_text(value, what=what)
        return value

    return check


def parse_time(text: str) -> datetime:
    """The time that RFC 3339 text names, in UTC and whole milliseconds.

    Raises:
        ValueError: it names none.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError("not a time")
    try:
        # More than six digits of a second are more than Python or MongoDB keep.
        moment = datetime.fromisoformat(_cut(text.upper())).astimezone(UTC)
    except OverflowError:
        raise ValueError("not a time") from None
    if moment.year > YEAR_MAX:
        raise ValueError("too far away")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return parse_time(value)
    except ValueError:
        pass
    raise PydanticCustomError(
        "time_invalid", "a time must be given as in RFC 3339 with an offset, before the year 9000"
    )


def _cut(text: str) -> str:
    whole, dot, rest = text.partition(".")
    if not dot:
        return text
    digits = re.match(r"\d+", rest)
    assert digits is not None
    return f"{whole}.{digits[0][:6].ljust(6, '0')}{rest[digits.end() :]}"


def _timezone(value: str) -> str:
    if _ZONES and value not in _ZONES:
        raise PydanticCustomError("timezone_unknown", "this time zone is not known")
    return value


def _nfc(value: str) -> str:
    return value if value.isascii() else unicodedata.normalize("NFC", value)


Address = Annotated[
    str,
    Field(
        min_length=3,
        max_length=ADDRESS_OCTETS_MAX,
        json_schema_extra={"format": "email"},
        description="An email address. The domain is stored in lower case.",
    ),
    AfterValidator(checked(normalise, "address_invalid")),
]
DisplayName = Annotated[
    str,
    Field(max_length=DISPLAY_NAME_CHARS_MAX),
    AfterValidator(checked(header_text("the name"), "header_unsafe")),
]
Label = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=rf"^[^{_CONTROLS}]*$"),
    AfterValidator(_nfc),
]
Reference = Annotated[
    str,
    Field(min_length=1, max_length=255, pattern=rf"^[^{_CONTROLS}]*$"),
    AfterValidator(_nfc),
]
MetadataName = Annotated[str, Field(min_length=1, max_length=64, pattern=rf"^[^{_CONTROLS}]*$")]
MetadataValue = Annotated[str, Field(max_length=500, pattern=rf"^[^{_CONTROLS}]*$")]
TemplateName = Annotated[str, Field(pattern=NAME_PATTERN)]
ChannelWord = Literal["email", "sms", "push", "in_app", "webhook"]
Locale = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$")]
Timezone = Annotated[
    str,
    Field(max_length=64, description="A name of the IANA time zone database.", examples=["UTC"]),
    AfterValidator(_timezone),
]
Time = Annotated[
    datetime | None,
    PlainValidator(_time),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}),
]
PriorityWord = Literal["high", "normal", "low"]
Hours = Annotated[str, Field(max_length=TEXT_MAX, pattern=PATTERN)]
Data = Annotated[
    dict[str, Any],
    Field(description="Variables for the template. Names must not begin with a dollar sign."),
]


class Input(BaseModel):
    """Closed and strict: an unknown field is an error, and a number is no text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def _no_defaults(schema: dict[str, Any]) -> None:
    # What a change leaves out stays as it is; a default would say otherwise.
    for field in schema["properties"].values():
        field.pop("default", None)


class ChangeIn(Input):
    """What is to change, and only what is named. Null takes a time away."""

    model_config = ConfigDict(json_schema_extra=_no_defaults)

    send_at: Time = None
    expires_at: Time = None
    priority: PriorityWord = "normal"


class SegmentIn(Input):
    """What people are to know of a segment."""

    description: Annotated[str, Field(max_length=500, pattern=rf"^[^{_CONTROLS}]*$")] = ""


class AssignmentIn(Input):
    """The template that a segment gets on a channel, in a campaign or in all others."""

    channel: ChannelWord
    campaign: Annotated[
        Label | None,
        Field(
            description="Null: all campaigns without an assignment of their own, and no campaign."
        ),
    ] = None
    template: TemplateName


def _number(name: str, description: str) -> Any:
    least, most = BOUNDS[name]
    return Field(ge=least, le=most, description=description)


FailureWord = Literal["transient", "throttled", "config", "mailbox_full", "policy"]


class DeliveryFieldsIn(Input):
    """What a delivery configuration says. What is left out, or null, is inherited."""

    attempts_max: Annotated[
        int | None, _number("attempts_max", "Attempts in all, the first one too.")
    ] = None
    backoff_initial_s: Annotated[
        float | None, _number("backoff_initial_s", "The longest wait after the first failure.")
    ] = None
    backoff_factor: Annotated[
        float | None, _number("backoff_factor", "How much longer each further wait may be.")
    ] = None
    backoff_cap_s: Annotated[
        float | None, _number("backoff_cap_s", "What no wait is longer than.")
    ] = None
    backoff_jitter: Annotated[
        float | None,
        _number("backoff_jitter", "The share of each wait that is drawn by lot: 1 is all of it."),
    ] = None
    retry_on: Annotated[
        list[FailureWord] | None,
        Field(max_length=10, description="Kinds of failure that are tried again."),
    ] = None
    at_least_once: Annotated[
        bool | None,
        Field(
            description="Whether an attempt with an unknown outcome is tried again, at the risk of "
            "a double."
        ),
    ] = None
    providers: Annotated[
        list[TemplateName] | None,
        Field(
            min_length=1,
            max_length=PROVIDERS_MAX,
            description="Names of providers, yours or the platform's, in the order in which they "
            "are tried. Where one is in trouble, the next one takes over. Only in a configuration "
            "that names their channel.",
        ),
    ] = None

    sender: Annotated[
        TemplateName | None,
        Field(
            description="The name of one of your senders. Only in a configuration that names the "
            "sender's channel."
        ),
    ] = None
    priority: Annotated[
        PriorityWord | None,
        Field(description="Of requests that name none and whose campaign has none."),
    ] = None
    lane: Annotated[
        Literal["default", "high"] | None,
        Field(
            description="Kept and explained; so far the priority alone decides on the lane that a "
            "message takes."
        ),
    ] = None
    rate_per_s: Annotated[
        float | None,
        _number(
            "rate_per_s",
            "Messages a second, of all together that this configuration decides for, on each "
            "channel. More than that wait.",
        ),
    ] = None
    domain_rate_per_s: Annotated[
        float | None,
        _number("domain_rate_per_s", "Emails a second to each domain. More than that wait."),
    ] = None
    send_window: Annotated[
        Hours | None,
        Field(
            description="Only within these hours of the recipient's time zone, such as "
            "`mon-fri 09:00-20:00`. What is of high priority goes at any hour."
        ),
    ] = None
    quiet_hours: Annotated[
        Hours | None, Field(description="Not within these, such as `21:00-08:00`.")
    ] = None
    timezone: Annotated[
        Timezone | None, Field(description="Of recipients of whom none is known; else UTC.")
    ] = None
    expires_after_s: Annotated[
        float | None,
        _number(
            "expires_after_s",
            "How long it may be sent if it names no `expires_at`, from its acceptance or its "
            "`send_at`.",
        ),
    ] = None
    track_opens: Annotated[
        bool | None, Field(description="Of emails that do not say so themselves.")
    ] = None
    track_clicks: Annotated[
        bool | None, Field(description="Of emails that do not say so themselves.")
    ] = None


class DeliveryConfigIn(DeliveryFieldsIn):
    """A delivery configuration, and what it is for; what it does not name may be anything."""

    channel: ChannelWord | None = None
    campaign: Label | None = None
    segment: Label | None = None


class ExplainIn(Input):
    """What a communication would be."""

    channel: ChannelWord
    campaign: Label | None = None
    segment: Label | None = None
