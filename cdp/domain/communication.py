"""A communication: the finished content for one recipient, and all that is needed to send it."""

from dataclasses import dataclass
from datetime import datetime

from cdp.domain.ids import ClientId, RequestId, ResultId


@dataclass(frozen=True, slots=True, kw_only=True)
class Communication:
    """What was resolved for one recipient, once; retries send exactly this again."""

    result_id: ResultId
    request_id: RequestId
    client_id: ClientId
    channel: str
    sender: tuple[str, str]
    """Address and name, as for all pairs here."""
    to: tuple[str, str]
    subject: str
    html: str | None
    text: str | None
    cc: tuple[tuple[str, str], ...] = ()
    bcc: tuple[tuple[str, str], ...] = ()
    reply_to: tuple[str, str] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    template: str | None = None
    template_version: int | None = None
    resolved_at: datetime
    """The time of CONTENT_RESOLVED; also the Date of the email, in every attempt."""
