"""Every refusal of the platform. The docstring is the sentence that its reader gets.

CdpError
├── Invalid                   what the caller sent is wrong, field by field
├── NotFound
├── Unauthenticated
├── Forbidden
├── IdempotencyKeyReused
├── IdempotencyKeyInUse
├── Conflict
│   ├── TooLate
│   └── CampaignClosed
├── PreconditionFailed
├── PayloadTooLarge
├── UnsupportedMediaType
├── Overloaded                with the seconds after which to repeat
│   ├── BacklogFull           this client's limit
│   ├── PlatformFull          everybody's limit
│   ├── StorageUnavailable    object storage is away, or has no room
│   └── OutcomeUnknown        a write that may or may not be durable

What a provider or a template may answer is a value, not an error: see `cdp.ports`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

POINTER_CHARS_MAX: Final = 200
HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")


class CdpError(Exception):
    """Something was refused."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or (self.__doc__ or "").strip())
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One thing that is wrong in what a caller sent."""

    pointer: str
    """Where: a JSON pointer (RFC 6901) into the body, or a parameter's name."""
    code: str
    detail: str


def pointer_of(location: Iterable[Any]) -> str:
    """A JSON pointer (RFC 6901), cut to a length that is fit to be shown."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    pointer = "".join(f"/{HALF_CHARACTER.sub('?', part)}" for part in parts)
    return pointer[:POINTER_CHARS_MAX]


class Invalid(CdpError):
    """What was sent is not valid."""

    def __init__(self, errors: Sequence[FieldError], detail: str = "") -> None:
        super().__init__(detail)
        self.errors = tuple(errors)

    @classmethod
    def at(cls, pointer: str, code: str, detail: str) -> "Invalid":
        """The refusal for a single field."""
        return cls([FieldError(pointer=pointer, code=code, detail=detail)])


class NotFound(CdpError):
    """No such thing for this client. Another client's thing counts as none."""


class Unauthenticated(CdpError):
    """There is no valid API key with the request."""


class Forbidden(CdpError):
    """The API key is valid but has no right to do this."""


class IdempotencyKeyReused(CdpError):
    """This idempotency key came before with another body."""


class IdempotencyKeyInUse(CdpError):
    """A request with this idempotency key is still being worked on."""


class Conflict(CdpError):
    """The thing is in a state that does not allow this."""


class TooLate(Conflict):
    """The communication was already attempted or is finished."""


class CampaignClosed(Conflict):
    """The campaign takes no more requests."""


class PreconditionFailed(CdpError):
    """It was changed since the version that `If-Match` names."""


class PayloadTooLarge(CdpError):
    """The body is larger than allowed."""


class UnsupportedMediaType(CdpError):
    """The content type is not one that is understood here."""


class Overloaded(CdpError):
    """More was sent than can be taken now; repeat later."""

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class BacklogFull(Overloaded):
    """This client has reached its limit of unfinished communications."""


class PlatformFull(Overloaded):
    """The platform has reached its limit of unfinished communications."""


class StorageUnavailable(Overloaded):
    """Object storage has no room or can't be reached. Nothing was changed; send it again."""


class OutcomeUnknown(Overloaded):
    """It is not known whether this was stored. Repeat it with the same Idempotency-Key."""
