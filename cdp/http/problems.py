"""Which status and which problem document each refusal becomes (RFC 9457).

Nothing else in the platform knows status codes. A refusal that is not in the table is answered
by its parent's row.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from cdp.errors import (
    BacklogFull,
    CampaignClosed,
    CdpError,
    Conflict,
    FieldError,
    Forbidden,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    Invalid,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    PayloadTooLarge,
    PlatformFull,
    PreconditionFailed,
    StorageUnavailable,
    TooLate,
    Unauthenticated,
    UnsupportedMediaType,
)
from cdp.http.answer import Answer

TYPE_PREFIX: Final = "urn:cdp:problem:"
CONTENT_TYPE: Final = b"application/problem+json"
ERRORS_MAX: Final = 100
IN_USE_RETRY_S: Final = 1


class Malformed(CdpError):
    """The body is not what its content type says."""


class BadCursor(CdpError):
    """The cursor is not one that was given out for this list and this client."""


class BodyTooSlow(CdpError):
    """The body did not arrive in time."""


class ClientGone(CdpError):
    """The connection was closed before the body was complete."""


class MethodNotAllowed(CdpError):
    """This resource does not have this method."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"Allowed here: {', '.join(allowed)}.")
        self.allowed = tuple(allowed)


class Problem(NamedTuple):
    """A row of the table."""

    status: int
    slug: str
    title: str


PROBLEMS: Final[dict[type[CdpError], Problem]] = {
    CdpError: Problem(500, "internal", "Something went wrong here"),
    Invalid: Problem(422, "invalid", "What was sent is not valid"),
    NotFound: Problem(404, "not-found", "There is no such thing"),
    Unauthenticated: Problem(401, "unauthenticated", "There is no valid API key"),
    Forbidden: Problem(403, "forbidden", "The API key has no right to do this"),
    IdempotencyKeyReused: Problem(422, "key-reused", "This key came before with another body"),
    IdempotencyKeyInUse: Problem(409, "key-in-use", "A request with this key is under way"),
    Conflict: Problem(409, "conflict", "The state of the thing does not allow this"),
    TooLate: Problem(409, "too-late", "It was already attempted or is finished"),
    CampaignClosed: Problem(409, "campaign-closed", "The campaign takes no more requests"),
    PreconditionFailed: Problem(412, "changed-meanwhile", "It was changed meanwhile"),
    PayloadTooLarge: Problem(413, "too-large", "The body is larger than allowed"),
    UnsupportedMediaType: Problem(415, "unsupported-media-type", "This is not understood here"),
    Overloaded: Problem(503, "overloaded", "This can't be done right now"),
    BacklogFull: Problem(429, "backlog-full", "This client's limit is reached"),
    PlatformFull: Problem(503, "platform-full", "The platform's limit is reached"),
    StorageUnavailable: Problem(503, "storage-unavailable", "Files can't be reached now"),
    OutcomeUnknown: Problem(503, "outcome-unknown", "It is not known whether this was stored"),
    Malformed: Problem(400, "malformed", "The body can't be read"),
    BadCursor: Problem(400, "bad-cursor", "This cursor is not valid here"),
    BodyTooSlow: Problem(408, "too-slow", "The body did not arrive in time"),
    ClientGone: Problem(400, "client-gone", "The connection was closed"),
    MethodNotAllowed: Problem(405, "method-not-allowed", "There is no such method here"),
}


def problem_of(error: CdpError) -> Problem:
    """The row for a refusal."""
    return next(PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS)


def document_of(error: CdpError) -> dict[str, Any]:
    """The problem document."""
    problem = problem_of(error)
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail or (type(error).__doc__ or "").strip(),
    }
    if isinstance(error, Invalid):
        document["errors"] = [_entry(entry) for entry in error.errors[:ERRORS_MAX]]
    return document


def _entry(error: FieldError) -> dict[str, str]:
    return {"pointer": error.pointer, "code": error.code, "detail": error.detail}


def problem_answer(error: CdpError) -> Answer:
    """The whole answer to a refusal."""
    document = document_of(error)
    return Answer(
        status=document["status"],
        body=orjson.dumps(document),
        content_type=CONTENT_TYPE,
        headers=_headers(error),
    )


def _headers(error: CdpError) -> tuple[tuple[bytes, bytes], ...]:
    if isinstance(error, Overloaded):
        return ((b"retry-after", str(error.retry_after_s).encode()),)
    if isinstance(error, IdempotencyKeyInUse):
        return ((b"retry-after", str(IN_USE_RETRY_S).encode()),)
    if isinstance(error, Unauthenticated):
        return ((b"www-authenticate", b'Bearer realm="cdp"'),)
    if isinstance(error, MethodNotAllowed):
        return ((b"allow", ", ".join(error.allowed).encode()),)
    if isinstance(error, UnsupportedMediaType):
        return ((b"accept-encoding", b"gzip, identity"),)
    if isinstance(error, ClientGone | BodyTooSlow | PayloadTooLarge):
        return ((b"connection", b"close"),)
    return ()
