"""The keys of an installation, and what is derived from them."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys that ids, links and API keys are made with."""

    id_key: bytes
    tracking_key: bytes
    key_pepper: bytes

    @property
    def inbox_key(self) -> bytes:
        """What recipients' tokens are signed with."""
        return hashlib.blake2b(b"inbox", key=self.tracking_key[:64], digest_size=32).digest()
