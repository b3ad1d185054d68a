"""What a delivery provider is to the platform: it takes messages and says what became of each.

One adapter per vendor implements `Provider`; `DeliveryService` drives it and nothing else does.
Expected outcomes are values: a provider never raises for what a vendor may answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class FailureClass(StrEnum):
    """Why a provider did not take a message, and so what is done about it."""

    TRANSIENT = "transient"
    """Passing trouble of the other side: try again with backoff."""
    THROTTLED = "throttled"
    """The provider asks for a slower pace: wait, then try again."""
    MAILBOX_FULL = "mailbox_full"
    """The recipient has no room: few tries over days."""
    ADDRESS = "address"
    """There is no such recipient: never again."""
    CONTENT = "content"
    """The message itself was refused: never again."""
    POLICY = "policy"
    """Refused by the other side's policy: never again, and somebody should look."""
    CONFIG = "config"
    """Our account or set-up is wrong: the messages wait until it is mended."""
    PERMANENT = "permanent"
    """Refused for good, for a reason that no other class names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The provider took responsibility for the message."""

    provider_message_id: str | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The provider refused the message, or was not reached before it could have taken it.

    A message that was rejected was certainly not delivered.
    """

    failure: FailureClass
    code: str
    """The answer's code, such as `550 5.1.1`, or a word such as `connect_failed`."""
    answer: str = ""
    """What the provider said, cut to `ANSWER_CHARS_MAX`; it may hold an address: never log it."""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The message may or may not have been taken, such as a cut after SMTP's final dot."""

    code: str
    answer: str = ""


Outcome = Accepted | Rejected | Unknown

ANSWER_CHARS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailAddress:
    """An address as it stands in a header: `email` is normalised by `cdp.channels.email`."""

    email: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailMessage:
    """One email to one recipient, complete: sent twice, it is the same bytes twice."""

    result_id: bytes
    attempt: int
    sender: EmailAddress
    to: EmailAddress
    subject: str
    html: str | None
    text: str | None
    date: datetime
    """The time of CONTENT_RESOLVED, so that a repeat carries the same Date header."""
    message_id: str
    """Without angle brackets; the same over all attempts."""
    return_path: str
    reply_to: EmailAddress | None = None
    cc: tuple[EmailAddress, ...] = ()
    bcc: tuple[EmailAddress, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    deadline_s: float = field(default=60.0)
    """Seconds from the start of `deliver` in which a send may still begin."""


Report = Callable[[EmailMessage, Outcome], None]


class Provider(Protocol):
    """Sends messages concurrently and reports each one's outcome as soon as it is known."""

    async def deliver(self, messages: Sequence[EmailMessage], report: Report) -> None:
        """Send all, and call `report` exactly once for each, in any order.

        Returns when the last outcome was reported. Cancelling it is allowed; what was not
        reported by then is unknown.
        """

    async def close(self) -> None:
        """Give up the connections that are kept open. No message may be under way."""
