"""A client: a company that sends through the platform, and what is set for it."""

from dataclasses import dataclass
from datetime import datetime

from cdp.domain.ids import ClientId


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A tenant. Nothing of one client is ever visible to another."""

    id: ClientId
    name: str
    track_opens: bool = True
    track_clicks: bool = True
    offers_unsubscribe: bool = False
    """Whether all of its emails carry the way out by one click; those with a topic always do."""
    backlog_max: int | None = None
    """Unfinished results it may have at once; None leaves it to the platform's setting."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it is stored: the secret itself is shown once and then forgotten."""

    key_id: str
    client_id: ClientId
    secret_hash: bytes
    name: str = ""
    live: bool = True
    """A test key's messages reach only the mailbox (rule A2)."""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    created_at: datetime
