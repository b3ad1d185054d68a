"""What a client asks for: one request, with one to a hundred recipients."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any, Final

from cdp.domain.ids import BatchId, ClientId, RequestId, ResultId
from cdp.domain.lane import Priority
from cdp.domain.record import record


@record
class Recipient:
    """One who is to get the communication, with what the caller says of them."""

    result_id: ResultId
    identifier: str
    """The address on the channel, in its one form: an email address, a phone number, a token."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What more it takes to reach a device: its `platform`, the keys of its subscription."""
    name: str = ""
    locale: str | None = None
    timezone: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@record
class Tracking:
    """What is tracked of this request; None leaves it to the client's setting."""

    opens: bool | None = None
    clicks: bool | None = None


NO_TRACKING: Final = Tracking()


@record
class Envelope:
    """What only an email has. Copies get no result of their own."""

    cc: tuple[tuple[str, str], ...] = ()
    """Pairs of address and name."""
    bcc: tuple[tuple[str, str], ...] = ()
    reply_to: tuple[str, str] | None = None
    headers: tuple[tuple[str, str], ...] = ()


NO_ENVELOPE: Final = Envelope()


@record
class CommunicationRequest:
    """A request as it was accepted; never changed after."""

    id: RequestId
    client_id: ClientId
    channel: str
    recipients: tuple[Recipient, ...]
    template: str | None = None
    content: Mapping[str, str] | None = None
    """Given in full by the caller, by part, and delivered as it is: nothing in it is a template."""
    campaign: str | None = None
    segment: str | None = None
    topic: str | None = None
    """What it is about, where its recipients may opt out of that alone."""
    data: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    names_priority: bool = True
    """Whether the caller did; else its campaign's counts. Known while it is taken in."""
    send_at: datetime | None = None
    expires_at: datetime | None = None
    reference: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tracking: Tracking = NO_TRACKING
    envelope: Envelope = NO_ENVELOPE
    source: str = "api"
    batch_id: BatchId | None = None
    idempotency_key: str | None = None
    body_hash: bytes | None = None
    """Of the body that came with the key: the same key with another body is refused."""
    requested_at: datetime
