"""Who a client's communications come from: what recipients see on each channel."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cdp.domain.ids import ClientId

SENDERS_MAX: Final = 100
"""Senders that a client may have."""
DEFAULT_NAME: Final = "default"
"""Of the sender that a client is made with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is shown of a sender; what a channel has no use for is empty."""

    channel: str
    address: str = ""
    """Of email the address; of SMS a number in E.164, a short code or an alphanumeric id."""
    display_name: str = ""
    """Stands beside an email's address."""
    reply_to: str | None = None
    """Where answers to an email go that names nothing else."""
    dkim_domain: str | None = None
    """The domain that is to sign emails; the key is the provider's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One of a client's senders."""

    id: bytes
    client_id: ClientId
    name: str
    """Unique for a client; delivery configurations name it."""
    identity: Identity
    is_default: bool
    """Whether it counts on its channel where no configuration names one."""
    version: int
    """Rises with each change, from 1."""
    created_at: datetime
    updated_at: datetime

    @property
    def channel(self) -> str:
        """What it is for."""
        return self.identity.channel

    @property
    def pair(self) -> tuple[str, str]:
        """Address and name, as a communication keeps them."""
        return (self.identity.address, self.identity.display_name)


class SendersOfClient:
    """All senders of one client, and which of them counts."""

    def __init__(self, senders: Iterable[Sender]) -> None:
        self._by_name: Mapping[str, Sender] = {sender.name: sender for sender in senders}
        self._defaults = {
            sender.channel: sender for sender in self._by_name.values() if sender.is_default
        }

    def choose(self, channel: str, named: str | None) -> Sender | None:
        """The sender on a channel: the one that is named, else the channel's default.

        A named one that is gone, or is for another channel, is never made up for by another.
        """
        if named is None:
            return self._defaults.get(channel)
        sender = self._by_name.get(named)
        return sender if sender is not None and sender.channel == channel else None
