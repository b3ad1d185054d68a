"""What the keeper is told, and what it tells: plain values that cross between processes."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Final

from cdp.embedded.mongod import MongodOptions
from cdp.embedded.state import StateFolder, write_atomically

MAILBOX_URI_VARIABLE: Final = "CDP_MAILBOX_MONGO_URI"
"""How the mailbox gets a URI with a password: a command line could be read by anybody."""

STATUS_FILE: Final = "keeper.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxOptions:
    """How the mailbox runs."""

    smtp_port: int = 2525
    http_port: int = 8025
    mongo_uri: str | None = field(default=None, repr=False)
    """Where it keeps what it gets; None: in the embedded mongod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperOptions:
    """Which parts the keeper runs; None leaves one out, since something real replaces it."""

    mongod: MongodOptions | None = field(default_factory=MongodOptions)
    mailbox: MailboxOptions | None = field(default_factory=MailboxOptions)
    production: bool = False
    """Then a mongod with known holes is refused."""
    start_within_s: float = 60.0

    def to_json(self) -> str:
        """For the keeper's command line: everything but the mailbox's URI."""
        values = dataclasses.asdict(self)
        if values["mailbox"] is not None:
            del values["mailbox"]["mongo_uri"]
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str, *, mailbox_uri: str | None) -> "KeeperOptions":
        """What `to_json` wrote, with the URI that came another way."""
        values: dict[str, Any] = json.loads(text)
        mongod, mailbox = values.pop("mongod"), values.pop("mailbox")
        return cls(
            mongod=None if mongod is None else MongodOptions(**mongod),
            mailbox=None if mailbox is None else MailboxOptions(**mailbox, mongo_uri=mailbox_uri),
            **values,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One process that the keeper keeps alive."""

    pid: int | None
    """None while it is down."""
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperStatus:
    """What runs now. `ready` says that every part has answered since the keeper started."""

    pid: int
    ready: bool = False
    error: str = ""
    """Why the keeper gave up, in one sentence."""
    mongo_port: int | None = None
    mailbox_smtp_port: int | None = None
    mailbox_http_port: int | None = None
    mongod: PartStatus | None = None
    mailbox: PartStatus | None = None

    def write(self, state: StateFolder) -> None:
        """Put it where `read` finds it."""
        write_atomically(state.run / STATUS_FILE, json.dumps(dataclasses.asdict(self), indent=2))

    @classmethod
    def read(cls, state: StateFolder) -> "KeeperStatus | None":
        """What a keeper wrote last, alive or not."""
        try:
            text = (state.run / STATUS_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        values: dict[str, Any] = json.loads(text)
        for part in ("mongod", "mailbox"):
            if values[part] is not None:
                values[part] = PartStatus(**values[part])
        return cls(**values)
