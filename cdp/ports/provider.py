"""What a delivery provider is to the platform: it takes messages and says what became of each.

One adapter per vendor implements `Provider`; `DeliveryService` drives it and nothing else does.
Expected outcomes are values: a provider never raises for what a vendor may answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol, TypeVar

from cdp.domain.ids import ResultId, text_of
from cdp.domain.record import record
from cdp.ports.clock import Clock
from cdp.ports.inbox import Inbox


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


@record
class Accepted:
    """The provider took responsibility for the message."""

    provider_message_id: str | None = None
    answer: str = ""


@record
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


@record
class Unknown:
    """The message may or may not have been taken, such as a cut after SMTP's final dot."""

    code: str
    answer: str = ""


Outcome = Accepted | Rejected | Unknown

ANSWER_CHARS_MAX = 500


@record
class Message:
    """One message to one recipient, complete: sent twice, it is the same twice."""

    result_id: ResultId
    attempt: int
    deadline_s: float = 60.0
    """Seconds from the start of `deliver` in which a send may still begin."""

    @property
    def key(self) -> str:
        """The same over all attempts, for a provider that knows idempotency keys."""
        return text_of(self.result_id)


@record
class EmailAddress:
    """An address as it stands in a header: `email` is normalised by `cdp.channels.email`."""

    email: str
    name: str = ""


@record
class EmailMessage(Message):
    """An email: sent twice, it is the same bytes twice."""

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
    dkim_domain: str | None = None
    """The domain that is to sign where the provider has its key; it aligns with the sender."""
    cc: tuple[EmailAddress, ...] = ()
    bcc: tuple[EmailAddress, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    left_out: frozenset[str] = frozenset()
    """Addresses of `cc` and `bcc` that get no copy. The header still names those of `cc`: the bytes
    are the same in every attempt, whoever opts out between two."""

    @property
    def copies(self) -> tuple[str, ...]:
        """Who else gets it."""
        return tuple(a.email for a in (*self.cc, *self.bcc) if a.email not in self.left_out)


@record
class SmsMessage(Message):
    """A text message."""

    sender: str
    """A number in E.164, a short code, or an alphanumeric name."""
    to: str
    """In E.164, such as `+4915112345678`."""
    text: str


class PushPlatform(StrEnum):
    """Whose push service a device is reached through."""

    FCM = "fcm"
    APNS = "apns"
    WEB = "web"


@record
class PushMessage(Message):
    """A notification to one device."""

    platform: PushPlatform
    token: str
    """The device's token; with Web Push the subscription's endpoint, a URL."""
    p256dh: str = ""
    """Of a Web Push subscription: the browser's public key, base64url (RFC 8291)."""
    auth: str = ""
    """Of a Web Push subscription: the shared secret, base64url (RFC 8291)."""
    title: str
    body: str
    data: Mapping[str, str] = field(default_factory=dict)
    collapse_key: str | None = None
    """A later message with the same key takes this one's place on the device."""
    ttl_s: int | None = None
    """How long the push service may keep it for a device that is away."""
    is_urgent: bool = False


@record
class InAppMessage(Message):
    """An entry in a user's inbox inside the client's own app."""

    client_id: bytes
    user: str
    """The client's own name for its user."""
    title: str
    body: str
    action_url: str | None = None
    action_label: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None


@record
class WebhookMessage(Message):
    """A call of a URL that belongs to the recipient."""

    url: str
    body: bytes
    """JSON, as it goes over the wire in every attempt."""
    date: datetime
    """The time of CONTENT_RESOLVED."""


M = TypeVar("M", bound=Message)

Report = Callable[[M, Outcome], None]


class Provider(Protocol[M]):
    """Sends messages concurrently and reports each one's outcome as soon as it is known."""

    async def deliver(self, messages: Sequence[M], report: Report[M]) -> None:
        """Send all, and call `report` exactly once for each, in any order.

        Returns when the last outcome was reported. Cancelling it is allowed; what was not
        reported by then is unknown.
        """

    async def close(self) -> None:
        """Give up the connections that are kept open. No message may be under way."""

    # A provider may have `is_busy() -> bool`: whether messages wait in it until others have been
    # sent. One that says so is given less at once; without it, none is held for busy.


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTools:
    """What a provider is handed beside its settings."""

    clock: Clock
    inbox: Inbox | None = None
    """Where in-app messages go; None where there is no MongoDB, as in tests of other providers."""
    reach_private: bool = False
    """Whether URLs that a client or a recipient gave may lead into private networks (rule A7)."""


class Adapter(Protocol):
    """What the registry names: a class that is one file's worth of a vendor."""

    Settings: ClassVar[type[Any]]
    """A closed, frozen pydantic model. Its `SecretStr` fields are encrypted at rest, and are never
    given back by the API."""

    # An adapter for push may have `PLATFORMS`, the `PushPlatform`s whose devices it reaches: then
    # it is given no others.

    @classmethod
    def open(cls, settings: Any, tools: ProviderTools) -> Provider[Any]:
        """A provider with these settings. Nothing is connected before the first message."""
