"""Accounts of the SFTP gateway: who logs in with which keys, for which client, and how much."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cdp.domain.ids import ClientId

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{2,31}")
ACCOUNTS_MAX: Final = 50
"""Accounts that a client may have."""
KEYS_MAX: Final = 10
QUOTA_BYTES: Final = 10 * 1024**3
"""What may lie in the inbox of an account for which nothing else is said: two of the largest."""
QUOTA_BYTES_MAX: Final = 1024**4
QUOTA_FILES: Final = 1_000
QUOTA_FILES_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that opens an account, without the comment that came with it."""

    algorithm: str
    blob: bytes
    """As SSH sends it."""

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def text(self) -> str:
        """As a line of `authorized_keys`."""
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpAccount:
    """One login. Its files are its client's."""

    id: bytes
    """Names its folder: nothing that somebody has chosen is ever part of a path."""
    client_id: ClientId
    name: str
    """The login, unique over the platform."""
    keys: tuple[PublicKey, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What rows of its files may leave out: template, campaign, segment, channel."""
    is_enabled: bool = True
    quota_bytes: int = QUOTA_BYTES
    """What may lie in its inbox at once."""
    quota_files: int = QUOTA_FILES
    version: int = 1
    """Rises with each change, from 1."""
    created_at: datetime
    updated_at: datetime

    def opens_with(self, blob: bytes) -> bool:
        """Whether this key lets somebody in."""
        return self.is_enabled and any(key.blob == blob for key in self.keys)
