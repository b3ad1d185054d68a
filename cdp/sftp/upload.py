"""An upload as its note says it is, and the reason that is left of one that was refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cdp.domain.ids import ClientId


class Stage(StrEnum):
    """How far an upload is."""

    OPEN = "open"
    """Somebody writes it, or was cut off from writing it."""
    CLOSED = "closed"
    """Whoever wrote it has closed it; it may be opened again, or wait to be renamed."""
    COMPLETE = "complete"
    """It counts: nobody changes it any more."""
    HANDING = "handing"
    """It is being handed to the platform, or was when the gateway died."""


@dataclass(slots=True, kw_only=True)
class Upload:
    """One file that comes. Only the spool moves it on."""

    id: bytes
    account_id: bytes
    client_id: ClientId
    name: str
    options: Mapping[str, Any]
    """What its rows may leave out, as the account said when it came."""
    stage: Stage
    touched_at: datetime
    """When it came to its stage, or was last written."""
    size: int = 0
    mtime: int | None = None
    """What its sender calls its time; only shown, and only while the gateway runs."""
    is_being_written: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether it is out of its sender's hands."""
        return self.stage in (Stage.COMPLETE, Stage.HANDING)

    @property
    def shown_at(self) -> float:
        """The time that its sender sees."""
        return self.touched_at.timestamp() if self.mtime is None else self.mtime

    def note(self) -> dict[str, Any]:
        """What is kept of it beside its bytes."""
        return {
            "id": self.id.hex(),
            "account_id": self.account_id.hex(),
            "client_id": self.client_id.hex(),
            "name": self.name,
            "options": dict(self.options),
            "stage": self.stage.value,
            "touched_at": self.touched_at.isoformat(),
        }

    @classmethod
    def of_note(cls, note: Mapping[str, Any], *, size: int) -> "Upload":
        """The upload that a note is of."""
        return cls(
            id=bytes.fromhex(note["id"]),
            account_id=bytes.fromhex(note["account_id"]),
            client_id=ClientId(bytes.fromhex(note["client_id"])),
            name=note["name"],
            options=note["options"],
            stage=Stage(note["stage"]),
            touched_at=datetime.fromisoformat(note["touched_at"]),
            size=size,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an upload was not taken."""

    id: bytes
    name: str
    text: str
    at: datetime

    def note(self) -> dict[str, Any]:
        """As it is kept."""
        at = self.at.isoformat()
        return {"id": self.id.hex(), "name": self.name, "text": self.text, "at": at}

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "Refusal":
        """The one that a note is of."""
        at = datetime.fromisoformat(note["at"])
        return cls(id=bytes.fromhex(note["id"]), name=note["name"], text=note["text"], at=at)
