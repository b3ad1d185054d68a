"""Where files lie that are put into object storage past the platform, and what tells two apart.

Others write there, so what lies there is taken in: copied to a place of the file's own. Ids stand
in these keys as people see them, since people write some of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cdp.domain.ids import ClientId, id_from_text, text_of

ARRIVALS: Final = "arrivals/"
"""All that others put there begins so."""
ARRIVAL_FAULTS: Final[Mapping[str, str]] = {
    "never_came": "Nothing was put to the URL of the upload in time.",
    "gone": "What had come was taken away or replaced before it was taken in.",
    "empty": "There is nothing in it.",
    "too_large": "It has more bytes than are allowed.",
    "same_bytes": "The same bytes have come within a day, and nothing says that they are meant.",
}
"""Why a file that came by way of object storage has failed before it was read."""
_UPLOADS: Final = "uploads"


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """Where a signed URL leads to: one file's, which is known before it comes."""

    client_id: ClientId
    file_id: bytes

    @property
    def key(self) -> str:
        """Its key in the store."""
        return f"{ARRIVALS}{_UPLOADS}/{text_of(self.client_id)}/{text_of(self.file_id)}"


@dataclass(frozen=True, slots=True)
class DropPlace:
    """Where somebody with rights on the bucket has put a file for a client."""

    client_id: ClientId
    name: str


def place_of(key: str) -> UploadPlace | DropPlace | None:
    """What a key below `ARRIVALS` stands for; None: it has the form of neither."""
    first, _, rest = key.removeprefix(ARRIVALS).partition("/")
    try:
        if first == _UPLOADS:
            client, _, file = rest.partition("/")
            return UploadPlace(ClientId(id_from_text(client)), id_from_text(file))
        return DropPlace(ClientId(id_from_text(first)), rest) if rest else None
    except ValueError:
        return None


def version_of(*, size: int, stored_at: datetime) -> str:
    """What tells an object from one that was under the same key before it."""
    return f"{size} {stored_at.isoformat()}"
