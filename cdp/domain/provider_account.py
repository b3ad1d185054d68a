"""A provider as a client, or the platform, has set it up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cdp.domain.ids import ClientId

ACCOUNTS_MAX: Final = 100
"""Providers that a client may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAccount:
    """One account with a vendor."""

    id: bytes
    client_id: ClientId | None
    """None: the platform's, which every client's delivery configuration may name."""
    name: str
    """Unique among its owner's."""
    kind: str
    """Of `cdp.providers.registry`, such as `sms.twilio`."""
    settings: Mapping[str, Any]
    """Without the credentials."""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """The credentials by their paths, such as `auth_token`, sealed."""
    secrets_set_at: Mapping[str, datetime] = field(default_factory=dict)
    """When each of them was given."""
    is_enabled: bool = True
    rate_per_s: float | None = None
    """Messages a second that it is given at most, of all clients together."""
    version: int
    """Rises with each change, from 1."""
    created_at: datetime
    updated_at: datetime

    @property
    def channel(self) -> str:
        """What it delivers."""
        return self.kind.partition(".")[0]
