"""Where the platform keeps what it runs on one machine: data, logs, secrets and pids.

`cdp up` opens the folder; the keeper, the mailbox and the local cluster work inside it.
"""

import base64
import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

INSTANCE_VARIABLE: Final = "CDP_INSTANCE"
"""In the environment of every process that we start, so that a sweep finds all of them."""

REPLICA_SET: Final = "cdp"
DATABASE: Final = "cdp"
ADMIN: Final = "admin"
MONGO_USERS: Final = ("platform", "tracking", "retention", "migrate", "mailbox", ADMIN)

DEFAULT_FOLDER: Final = Path(".cdp")


class EmbeddedError(Exception):
    """An embedded part cannot run; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Every secret of one installation. Made once; losing the file loses the access to the data."""

    mongo_passwords: Mapping[str, str] = field(repr=False)
    mongo_keyfile: str = field(repr=False)
    tracking_key: bytes = field(repr=False)
    key_pepper: bytes = field(repr=False)
    id_key: bytes = field(repr=False)
    ray_token: str = field(repr=False)

    @classmethod
    def generate(cls) -> "Credentials":
        """Fresh secrets."""
        return cls(
            mongo_passwords={user: secrets.token_urlsafe(32) for user in MONGO_USERS},
            # A keyfile takes the base64 alphabet only.
            mongo_keyfile=base64.b64encode(secrets.token_bytes(96)).decode(),
            tracking_key=secrets.token_bytes(32),
            key_pepper=secrets.token_bytes(32),
            id_key=secrets.token_bytes(32),
            ray_token=secrets.token_hex(32),
        )

    def to_json(self) -> str:
        """As `credentials.json` holds them."""
        return json.dumps(
            {
                "mongo_passwords": dict(self.mongo_passwords),
                "mongo_keyfile": self.mongo_keyfile,
                "tracking_key": self.tracking_key.hex(),
                "key_pepper": self.key_pepper.hex(),
                "id_key": self.id_key.hex(),
                "ray_token": self.ray_token,
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> "Credentials":
        """Read what `to_json` wrote.

        Raises:
            ValueError: or KeyError, TypeError: the text is something else.
        """
        values: dict[str, Any] = json.loads(text)
        passwords = {user: str(values["mongo_passwords"][user]) for user in MONGO_USERS}
        return cls(
            mongo_passwords=passwords,
            mongo_keyfile=str(values["mongo_keyfile"]),
            tracking_key=bytes.fromhex(values["tracking_key"]),
            key_pepper=bytes.fromhex(values["key_pepper"]),
            id_key=bytes.fromhex(values["id_key"]),
            ray_token=str(values["ray_token"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFolder:
    """One installation's folder. Open it with `StateFolder.open`, which makes what is missing."""

    root: Path
    instance: str
    """Random, made once: the mark on every process of this installation."""
    credentials: Credentials

    @classmethod
    def open(cls, root: Path = DEFAULT_FOLDER) -> "StateFolder":
        """Open the folder, and make it and its secrets at the first time.

        Raises:
            EmbeddedError: the folder cannot be written, or its files are damaged.
        """
        root = root.absolute()
        try:
            for folder in (root, root / "mongo", root / "logs", root / "run"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            instance = _made_once(root / "instance", secrets.token_hex(12), mode=0o600)
            text = _made_once(
                root / "credentials.json", Credentials.generate().to_json(), mode=0o600
            )
            credentials = _parse_credentials(root / "credentials.json", text)
            _made_once(root / "mongo-keyfile", credentials.mongo_keyfile, mode=0o400)
            _made_once(root / "ray-token", credentials.ray_token, mode=0o600)
            _require_writable(root / "run")
        except OSError as error:
            raise EmbeddedError(
                f"The state folder {root} cannot be written ({error.strerror}): "
                "choose another folder or mend its permissions."
            ) from error
        return cls(root=root, instance=instance.strip(), credentials=credentials)

    @property
    def mongo_data(self) -> Path:
        """The data files of mongod."""
        return self.root / "mongo"

    @property
    def mongo_unfinished(self) -> Path:
        """It is there from mongod's first start until its users are made."""
        return self.root / "mongo-unfinished"

    @property
    def mongo_keyfile(self) -> Path:
        """What the members of the replica set know each other by; only its owner can read it."""
        return self.root / "mongo-keyfile"

    @property
    def ray_token_file(self) -> Path:
        """For `RAY_AUTH_TOKEN_PATH`."""
        return self.root / "ray-token"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Pid files, locks and statuses of what runs now."""
        return self.root / "run"

    @property
    def secrets_key(self) -> bytes:
        """What providers' credentials are sealed with; made at the first time."""
        path = self.root / "secrets-key"
        return bytes.fromhex(_made_once(path, secrets.token_hex(32), mode=0o600).strip())

    @property
    def sftp_host_key(self) -> str:
        """What the SFTP gateway shows that it is itself; made at the first time, then kept."""
        path = self.root / "sftp-host-key"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text(encoding="utf-8")
        key = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        )
        return _made_once(path, key.decode(), mode=0o600)

    @property
    def sftp_spool(self) -> Path:
        """Uploads by SFTP that are under way."""
        return self.root / "sftp"

    def log_file(self, part: str) -> Path:
        """Where the process of this name writes its log."""
        return self.logs / f"{part}.log"

    def pid_file(self, part: str) -> Path:
        """Where the pid of the process of this name stands while it runs."""
        return self.run / f"{part}.pid"

    def mongo_uri(self, user: str, port: int) -> str:
        """The URI of one of `MONGO_USERS`. It holds the password: never log it.

        It names the replica set, so that a driver waits for the primary when mongod restarts.
        """
        password = self.credentials.mongo_passwords[user]
        database = "admin" if user == ADMIN else DATABASE
        return f"mongodb://{user}:{password}@127.0.0.1:{port}/{database}?replicaSet={REPLICA_SET}"

    def environment(self) -> dict[str, str]:
        """What every process that we start carries, over its other variables."""
        return {INSTANCE_VARIABLE: self.instance}


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace the file in one step, so that a reader sees the old or the new, never a half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        _write_new(temporary, text, mode=mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _made_once(path: Path, text: str, *, mode: int) -> str:
    """The content of the file, which is made of `text` if there is none.

    Two processes may come at once: the link is the gate, and both return the winner's content.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        _write_new(temporary, text, mode=mode)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_text(encoding="utf-8")


def _write_new(path: Path, text: str, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _parse_credentials(path: Path, text: str) -> Credentials:
    try:
        return Credentials.from_json(text)
    except (ValueError, KeyError, TypeError) as error:
        raise EmbeddedError(
            f"The secrets in {path} cannot be read: put the file back from a backup, "
            "or choose a new state folder."
        ) from error


def _require_writable(folder: Path) -> None:
    """An opened folder may lie on what has since become read-only."""
    probe = folder / f".probe.{os.getpid()}.{secrets.token_hex(4)}"
    _write_new(probe, "", mode=0o600)
    probe.unlink()
