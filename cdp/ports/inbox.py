"""Where in-app messages are kept until a user of the client's app sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from cdp.domain.ids import ClientId, ResultId


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """One message in one user's inbox."""

    result_id: ResultId
    client_id: ClientId
    user: str
    """The client's own name for its user."""
    title: str
    body: str
    action_url: str | None = None
    action_label: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime
    expires_at: datetime | None = None
    seen_at: datetime | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None


class InboxUnavailable(Exception):
    """The entries may or may not be there: put them again."""


class Inbox(Protocol):
    """Takes messages in."""

    async def put(self, entries: Sequence[InboxEntry]) -> None:
        """Keep entries durably. One that is there already stays as it is, read or not.

        Raises:
            InboxUnavailable: it is not known whether they are there.
        """
