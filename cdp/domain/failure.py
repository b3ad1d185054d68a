"""Why something was not delivered: every reason that there is, and the class that it belongs to.

A reason is a word that stays the same. It stands in DELIVERY_FAILED and in UNDELIVERABLE, and
comes from the provider (`FailureClass`), from the retry policy that gave up, or from the Message
Service that could make no content. The class says who has to do something before a replay helps.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from cdp.domain.record import record
from cdp.domain.retry import UNKNOWN


class ErrorClass(StrEnum):
    """What it takes for another attempt to go better."""

    TRANSIENT = "transient"
    """Time: what was in the way passes by itself."""
    PERMANENT = "permanent"
    """Another recipient or other data: this message will never be taken as it is."""
    POLICY = "policy"
    """A decision: somebody refuses messages like this one."""
    CONFIG = "config"
    """A set-up: something of the client's or of the platform's is missing or wrong."""


class Origin(StrEnum):
    """Who says so."""

    PROVIDER = "provider"
    """The delivery provider, in its answer to an attempt or by giving none."""
    RETRIES = "retries"
    """The retry policy, which has given up."""
    CONTENT = "content"
    """The Message Service, which could make no content; there was no attempt."""
    RULES = "rules"
    """The delivery configuration, by which there is no moment to send at."""


class Reason(NamedTuple):
    """A row of the table."""

    origin: Origin
    error_class: ErrorClass | None
    """None: that of the failure before it."""
    meaning: str


_T, _P, _C = ErrorClass.TRANSIENT, ErrorClass.PERMANENT, ErrorClass.CONFIG
_BY_PROVIDER, _BY_RETRIES, _NO_CONTENT = Origin.PROVIDER, Origin.RETRIES, Origin.CONTENT

REASONS: Final[Mapping[str, Reason]] = {
    "transient": Reason(_BY_PROVIDER, _T, "Passing trouble of the other side, or no connection."),
    "throttled": Reason(_BY_PROVIDER, _T, "The provider asked for a slower pace."),
    "mailbox_full": Reason(_BY_PROVIDER, _T, "The recipient has no room."),
    UNKNOWN: Reason(_BY_PROVIDER, _T, "Nobody knows whether the provider has taken it."),
    "address": Reason(_BY_PROVIDER, _P, "There is no such recipient."),
    "content": Reason(_BY_PROVIDER, _P, "The provider refused this message for what it is."),
    "permanent": Reason(_BY_PROVIDER, _P, "Refused for good, for no reason of the others."),
    "policy": Reason(_BY_PROVIDER, ErrorClass.POLICY, "The other side's policy refused it."),
    "config": Reason(
        _BY_PROVIDER, _C, "The account at the provider, or its settings here, are wrong."
    ),
    "attempts_spent": Reason(
        _BY_RETRIES, None, "The last attempt of the policy failed; the class is that failure's."
    ),
    "outcome_unknown": Reason(
        _BY_RETRIES, _T, "Nobody knows whether it was taken, and it may not be sent twice."
    ),
    "poison": Reason(_BY_RETRIES, _P, "Five workers in a row have vanished with it."),
    "no_send_hours": Reason(
        Origin.RULES, _C, "The quiet hours leave nothing of the send window, as they count here."
    ),
    "request_missing": Reason(_NO_CONTENT, _P, "Its request or its recipient is damaged."),
    "template_missing": Reason(_NO_CONTENT, _C, "There is no template of this name."),
    "template_unassigned": Reason(_NO_CONTENT, _C, "Its segment has no template here."),
    "template_unfit": Reason(
        _NO_CONTENT, _C, "The template has nothing for the channel or the language."
    ),
    "template_syntax": Reason(_NO_CONTENT, _C, "The template does not compile."),
    "template_forbidden": Reason(_NO_CONTENT, _C, "The template does what the sandbox forbids."),
    "sender_missing": Reason(_NO_CONTENT, _C, "The client has no sender on the channel."),
    "render_timeout": Reason(_NO_CONTENT, _C, "The template took too long."),
    "render_memory": Reason(_NO_CONTENT, _C, "The template took too much memory."),
    "render_output_too_large": Reason(_NO_CONTENT, _C, "The template's output is too large."),
    "render_error": Reason(_NO_CONTENT, _C, "The template failed on this data."),
    "missing_variable": Reason(_NO_CONTENT, _P, "The data lacks a variable of the template."),
    "subject_invalid": Reason(_NO_CONTENT, _P, "The subject can't stand in a header."),
    "content_empty": Reason(_NO_CONTENT, _P, "The finished content is empty."),
    "content_invalid": Reason(_NO_CONTENT, _P, "A part of the finished content is not valid."),
    "content_not_json": Reason(_NO_CONTENT, _P, "A part that must be JSON is not."),
    "content_too_large": Reason(_NO_CONTENT, _P, "The finished content is too long."),
    "content_unsafe": Reason(_NO_CONTENT, _P, "The finished content has characters without use."),
}
"""Every reason that a failure may have."""


@record
class Failure:
    """What went wrong with a result last."""

    reason: str
    """Of `REASONS`."""
    error_class: ErrorClass
    code: str | None = None
    """The provider's own, such as `550 5.1.1`, or a word such as `connect_failed`."""
    provider: str | None = None
    """Who was given the attempt that failed; None where there was none."""


def failure_document(failure: Failure | None) -> dict[str, str] | None:
    """A failure as a stored result has it. The audit compares by it, so it is defined here."""
    if failure is None:
        return None
    said = {
        "reason": failure.reason,
        "class": failure.error_class.value,
        "code": failure.code,
        "provider": failure.provider,
    }
    return {name: text for name, text in said.items() if text is not None}


def error_class_of(reason: str, before: Failure | None = None) -> ErrorClass:
    """The class of a reason.

    Args:
        reason: of `REASONS`; one that is not there, from another version, is for people to see.
        before: the failure that led to it.
    """
    row = REASONS.get(reason)
    if row is not None and row.error_class is not None:
        return row.error_class
    return ErrorClass.PERMANENT if before is None else before.error_class


def failed(metadata: Mapping[str, Any], provider: str | None) -> Failure:
    """What a DELIVERY_FAILED says."""
    reason = metadata.get("reason") or UNKNOWN
    return Failure(
        reason=reason,
        error_class=error_class_of(reason),
        code=metadata.get("code"),
        provider=provider,
    )


def given_up(metadata: Mapping[str, Any], before: Failure | None) -> Failure:
    """What an UNDELIVERABLE says, after the failure before it."""
    reason = metadata.get("reason") or UNKNOWN
    row = REASONS.get(reason)
    if before is None or (row is not None and row.origin is Origin.CONTENT):
        return Failure(reason=reason, error_class=error_class_of(reason))
    return replace(before, reason=reason, error_class=error_class_of(reason, before))
