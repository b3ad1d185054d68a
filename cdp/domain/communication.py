"""A communication: the finished content for one recipient, and all that is needed to send it."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from cdp.domain.ids import ClientId, RequestId, ResultId
from cdp.domain.record import record


@record
class Communication:
    """What was resolved for one recipient, once; retries send exactly this again."""

    result_id: ResultId
    request_id: RequestId
    client_id: ClientId
    channel: str
    sender: tuple[str, str]
    """Address and name, as for all pairs here; both empty where the channel needs none."""
    to: tuple[str, str]
    to_details: Mapping[str, str] = field(default_factory=dict)
    """As `Recipient.details`."""
    content: Mapping[str, str]
    """Its parts by name, such as `subject`, `html`, `text`; see `cdp.channels.table`."""
    cc: tuple[tuple[str, str], ...] = ()
    bcc: tuple[tuple[str, str], ...] = ()
    reply_to: tuple[str, str] | None = None
    dkim_domain: str | None = None
    """As `Identity.dkim_domain`."""
    headers: tuple[tuple[str, str], ...] = ()
    template: str | None = None
    template_version: int | None = None
    locale: str | None = None
    """Of the template's variant."""
    topic: str | None = None
    resolved_at: datetime
    """The time of CONTENT_RESOLVED; also the Date of the email, in every attempt."""
