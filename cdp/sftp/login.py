"""One connection: who is let in, and that it gets SFTP and nothing else."""

import logging
from typing import Any, Final, Protocol

from asyncssh import (
    DISC_BY_APPLICATION,
    DISC_TOO_MANY_CONNECTIONS,
    ChannelOpenError,
    SFTPServer,
    SSHKey,
    SSHServer,
    SSHServerConnection,
    SSHServerSession,
)
from asyncssh.constants import OPEN_RESOURCE_SHORTAGE
from asyncssh.stream import SSHServerStreamSession

from cdp.domain.sftp_account import SftpAccount
from cdp.errors import CdpError
from cdp.sftp.handles import Session

SESSIONS_MAX: Final = 5
"""Connections of an account, and sessions of SFTP over all of them."""
SFTP_VERSION: Final = 3
"""What OpenSSH and nearly all others speak."""

log = logging.getLogger(__name__)


class Door(Protocol):
    """What a connection asks the gateway."""

    def admit(self, login: "Login") -> bool:
        """Whether there is room for one more who has not logged in yet."""

    def enter(self, login: "Login") -> bool:
        """Whether its account may have one more connection."""

    def leave(self, login: "Login") -> None:
        """It has ended."""

    async def account(self, name: str) -> SftpAccount | None:
        """The account of this login, as it is now."""

    def sessions(self, account: SftpAccount) -> int:
        """Sessions of SFTP that an account has open."""

    def folders(self, channel: Any, account: SftpAccount, session: Session) -> SFTPServer:
        """What a session sees."""


class SftpSession(SSHServerStreamSession[Any]):
    """A session that may be SFTP, and knows when its client has gone."""

    def __init__(self, login: "Login", account: SftpAccount) -> None:
        super().__init__(None, self._open, SFTP_VERSION, False)
        self._login = login
        self._account = account
        self._channel: Any = None
        self.has_ended = False

    def _open(self, channel: Any) -> SFTPServer:
        self._channel = channel
        return self._login.door.folders(channel, self._account, self)

    @property
    def waiting_bytes(self) -> int:
        """Answers that the client has not taken."""
        return 0 if self._channel is None else int(self._channel.get_write_buffer_size())

    async def drained(self) -> None:
        """See `Session.drained`."""
        await self.drain(None)

    def eof_received(self) -> bool:
        """What the client has not closed by now it never will."""
        self.has_ended = True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, with a word or without."""
        self.has_ended = True
        self._login.sessions.discard(self)
        super().connection_lost(exc)


class Login(SSHServer):
    """One connection, from its first byte on. Public keys are the only way in."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.sessions: set[SftpSession] = set()
        self.entered: SftpAccount | None = None
        self.key: bytes = b""
        """The key that was let in."""
        self._asked: SftpAccount | None = None
        self._connection: SSHServerConnection | None = None

    def connection_made(self, conn: SSHServerConnection) -> None:
        """Let it begin, or not."""
        self._connection = conn
        if not self.door.admit(self):
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._connection = None
        self.door.leave(self)

    @property
    def waiting_bytes(self) -> int:
        """Answers that its client has not taken."""
        return sum(session.waiting_bytes for session in self.sessions)

    def end(self, reason: str, *, code: int = DISC_BY_APPLICATION) -> None:
        """Hang up, and say why."""
        if self._connection is not None:
            self._connection.disconnect(code, reason)

    def drop(self) -> None:
        """Hang up at once."""
        if self._connection is not None:
            self._connection.abort()

    async def begin_auth(self, username: str) -> bool:
        """Look the account up; whether there is one is not told."""
        try:
            self._asked = await self.door.account(username)
        except CdpError as error:
            log.warning("an sftp login could not be checked", extra={"error": type(error).__name__})
            self._asked = None
        return True

    def public_key_auth_supported(self) -> bool:
        """The only way."""
        return True

    def password_auth_supported(self) -> bool:
        """Never."""
        return False

    def kbdint_auth_supported(self) -> bool:
        """Never."""
        return False

    def host_based_auth_supported(self) -> bool:
        """Never."""
        return False

    def validate_public_key(self, username: str, key: SSHKey) -> bool:
        """Whether this key opens the account; asyncssh then asks for proof of having it."""
        account = self._asked
        if account is None or account.name != username or not account.opens_with(key.public_data):
            return False
        self.key = key.public_data
        return True

    def auth_completed(self) -> None:
        """The client is who it says."""
        self.entered = self._asked
        if not self.door.enter(self):
            reason = f"An account has at most {SESSIONS_MAX} connections."
            self.end(reason, code=DISC_TOO_MANY_CONNECTIONS)

    def session_requested(self) -> SSHServerSession[Any]:
        """A session, for SFTP alone.

        Raises:
            ChannelOpenError: there are too many.
        """
        account = self.entered
        if account is None or self.door.sessions(account) >= SESSIONS_MAX:
            reason = f"An account has at most {SESSIONS_MAX} sessions."
            raise ChannelOpenError(OPEN_RESOURCE_SHORTAGE, reason)
        session = SftpSession(self, account)
        self.sessions.add(session)
        return session
