"""Suppressions: who must not be written to, on which channel, about what."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cdp.domain.ids import ClientId

KEY_OCTETS: Final = 16


class SuppressionReason(StrEnum):
    """Why somebody must not be written to."""

    UNSUBSCRIBE = "unsubscribe"
    HARD_BOUNCE = "hard_bounce"
    COMPLAINT = "complaint"
    MANUAL = "manual"
    IMPORT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One entry of a client's list."""

    client_id: ClientId
    channel: str
    recipient: str
    """In the form under which an address is suppressed: no spelling escapes it (rule E4)."""
    topic: str | None = None
    """None: whatever it is about."""
    reason: SuppressionReason
    source: str = ""
    """Who said so, such as `api` or the id of a communication."""
    note: str = ""
    """What people are to know of it."""
    created_at: datetime

    @property
    def id(self) -> bytes:
        """The same for every entry of this recipient and topic: there is one at most."""
        return suppression_id(self.client_id, self.channel, self.recipient, self.topic)


def is_hard_bounce(channel: str, code: str) -> bool:
    """Whether a provider's refusal of an address means that there is none, for good.

    Only email and push say so at once and surely; and of push, only that the token was given up:
    one that belongs to another app is the configuration's fault, and so is every token then.

    Args:
        channel: of the message.
        code: of a refusal whose class is `address`, such as `550 5.1.1` or `410 Unregistered`.
    """
    return channel == "email" or (channel == "push" and code.partition(" ")[0] in _GONE)


_GONE: Final = frozenset({"404", "410"})


def suppression_id(client_id: ClientId, channel: str, recipient: str, topic: str | None) -> bytes:
    """Under what an entry is kept: found without an index of its own, and put twice it is one."""
    parts = (channel, recipient, "" if topic is None else f"={topic}")
    text = b"".join(
        len(part.encode()).to_bytes(4, "big") + part.encode("utf-8", "surrogatepass")
        for part in parts
    )
    return hashlib.blake2b(client_id + text, digest_size=KEY_OCTETS).digest()


def ids_that_count(
    client_id: ClientId, channel: str, recipient: str, topic: str | None
) -> tuple[bytes, ...]:
    """The entries that stop a message to this recipient: the one for all, and its topic's."""
    everything = suppression_id(client_id, channel, recipient, None)
    if topic is None:
        return (everything,)
    return (everything, suppression_id(client_id, channel, recipient, topic))
