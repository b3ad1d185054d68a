"""A template: named content with placeholders. Every change is a new version that never changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cdp.domain.ids import ClientId, text_of

PARTS: Final = ("subject", "html", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """One immutable version of a client's template."""

    id: bytes
    client_id: ClientId
    name: str
    version: int
    channel: str
    parts: Mapping[str, str]
    created_at: datetime

    @property
    def key(self) -> str:
        """Names this version in caches for ever."""
        return text_of(self.id)
