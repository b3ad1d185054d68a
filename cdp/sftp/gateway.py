"""The SFTP gateway: a server for SSH that knows SFTP alone, over a spool on this machine's disk.

One process runs it. What was confirmed to a client outlasts it: see `cdp.sftp.spool`.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import asyncssh

from cdp.domain.sftp_account import SftpAccount
from cdp.errors import CdpError
from cdp.ports.clock import Clock
from cdp.services.file_service import FileService
from cdp.services.sftp_account_service import SftpAccountService
from cdp.sftp.folders import AccountFolders
from cdp.sftp.handles import Session, Writer
from cdp.sftp.handover import SETTLE_S, TICK_S, HandOver
from cdp.sftp.login import SESSIONS_MAX, Login
from cdp.sftp.outputs import ClientFiles, FileReaders, Outputs
from cdp.sftp.spool import Spool
from cdp.sftp.tree import Tree
from cdp.telemetry import Telemetry

WATCH_S: Final = 1.0
"""How often the accounts of open sessions are read anew."""
WAITING_BYTES_MAX: Final = 16 * 1024**2
"""Answers that a connection may leave untaken."""
END_S: Final = 10.0

# Everything that rests on SHA-1 is left out, and what asyncssh would take beyond SSH's usual.
KEX_ALGS: Final = "-gss-*,diffie-hellman-group14-sha1,rsa2048-sha256"
MAC_ALGS: Final = "-hmac-sha1*,umac-64*"
SIGNATURE_ALGS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-256",
    "rsa-sha2-512",
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """How much, and for how long."""

    login_s: float = 20.0
    keepalive_s: float = 15.0
    """Three of them unanswered end a connection."""
    settle_s: float = SETTLE_S
    connections_max: int = 500
    strangers_max: int = 50
    """Connections that have not logged in yet."""


class SftpGateway:
    """Listens, and hands over what is complete."""

    def __init__(
        self,
        *,
        accounts: SftpAccountService,
        files: FileService,
        readers: FileReaders,
        spool: Spool,
        host_key: str,
        clock: Clock,
        telemetry: Telemetry,
        limits: GatewayLimits | None = None,
        write: Writer = os.pwrite,
    ) -> None:
        """Make a gateway.

        Args:
            accounts: who may log in.
            files: where files go, and are listed from.
            readers: what of a file can be fetched.
            spool: this gateway's own; `start` opens it.
            host_key: a private key as OpenSSH writes it, the same at every start.
            clock: for all times.
            telemetry: of this process.
            limits: left out, the usual ones.
            write: how bytes get to the disk.
        """
        self._accounts = accounts
        self._readers = readers
        self._spool = spool
        self._host_key = asyncssh.import_private_key(host_key)
        self._telemetry = telemetry
        self._limits = limits or GatewayLimits()
        self._write = write
        self._listed = ClientFiles(files, clock)
        self._outputs = Outputs(spool, clock)
        self._handover = HandOver(
            spool=spool,
            files=files,
            listed=self._listed,
            clock=clock,
            telemetry=telemetry,
            settle_s=self._limits.settle_s,
        )
        self._logins: set[Login] = set()
        self._sessions: set[AccountFolders] = set()
        self._one_ended = asyncio.Event()
        self._listener: asyncssh.SSHAcceptor | None = None
        self._loops: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int) -> int:
        """Open the spool and listen; the port, which may have been 0.

        Raises:
            SpoolTaken: another gateway has the spool.
            OSError: the port or the folder can't be had.
        """
        asyncssh.set_log_level(logging.WARNING)
        await asyncio.to_thread(self._spool.open)
        try:
            self._listener = await asyncssh.listen(
                host,
                port,
                server_factory=lambda: Login(self),
                server_host_keys=[self._host_key],
                server_version="CDP",
                kex_algs=KEX_ALGS,
                mac_algs=MAC_ALGS,
                signature_algs=list(SIGNATURE_ALGS),
                compression_algs=["none"],
                public_key_auth=True,
                password_auth=False,
                kbdint_auth=False,
                host_based_auth=False,
                gss_host=None,
                allow_pty=False,
                agent_forwarding=False,
                x11_forwarding=False,
                login_timeout=self._limits.login_s,
                keepalive_interval=self._limits.keepalive_s,
                keepalive_count_max=3,
            )
        except BaseException:
            self._spool.close()
            raise
        self._loops = [
            asyncio.create_task(self._again("sftp-handover", self._handover.tick, TICK_S)),
            asyncio.create_task(self._again("sftp-watch", self._watch, WATCH_S)),
        ]
        return int(self._listener.get_port())

    async def stop(self) -> None:
        """Hang up, let what is being handed over end, and give the spool up."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        for login in list(self._logins):
            login.drop()
        # Who is cut off may go on later: what came so far has to reach the disk.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                while self._sessions:
                    self._one_ended.clear()
                    await self._one_ended.wait()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._handover.drain(within_s=END_S)
        self._spool.close()

    async def stop_if_unused(self) -> bool:
        """Stop if nobody may log in any more and nothing is to be handed over; whether it has.

        Sessions of accounts that are gone end by themselves. Uploads that were cut off stay in the
        spool: their time is over when a gateway looks through it again.

        Raises:
            OutcomeUnknown: MongoDB could not be asked.
        """
        if self._handover.is_waited_for or await self._accounts.any_across_clients():
            return False
        await self.stop()
        return True

    async def _again(self, name: str, step: Callable[[], Any], every_s: float) -> None:
        while True:
            try:
                await step()
            except Exception as error:
                # The next one may work: the disk was full, or MongoDB away.
                log.exception("a loop of sftp failed", extra={"error": type(error).__name__})
                self._telemetry.count("cdp_loop_errors", loop=name)
            await asyncio.sleep(every_s)

    async def _watch(self) -> None:
        """End sessions of accounts that are gone or disabled, or whose key is."""
        self._outputs.sweep()
        for login in list(self._logins):
            if login.waiting_bytes > WAITING_BYTES_MAX:
                # It asks and asks, and takes no answer.
                login.drop()
        inside = [login for login in self._logins if login.entered is not None]
        try:
            known = await self._accounts.across_clients(
                {login.entered.name for login in inside if login.entered is not None}
            )
        except CdpError:
            # MongoDB can't be asked now. Nobody new gets in; who is inside stays.
            return
        for login in inside:
            assert login.entered is not None
            account = known.get(login.entered.name)
            is_same = account is not None and account.id == login.entered.id
            if account is None or not is_same or not account.opens_with(login.key):
                login.end("The account is closed.")

    @property
    def connections(self) -> int:
        """How many there are, those that have not logged in too."""
        return len(self._logins)

    def waiting_bytes(self) -> int:
        """Answers that no client has taken yet."""
        return sum(login.waiting_bytes for login in self._logins)

    # What a connection asks: see `Door`.

    def admit(self, login: Login) -> bool:
        """See `Door.admit`."""
        strangers = sum(1 for each in self._logins if each.entered is None)
        if (
            len(self._logins) >= self._limits.connections_max
            or strangers >= self._limits.strangers_max
        ):
            return False
        self._logins.add(login)
        return True

    def enter(self, login: Login) -> bool:
        """See `Door.enter`."""
        assert login.entered is not None
        mine = [each for each in self._logins if _is_of(each, login.entered)]
        is_let_in = len(mine) <= SESSIONS_MAX
        self._telemetry.count("cdp_sftp_logins", outcome="let_in" if is_let_in else "too_many")
        return is_let_in

    def leave(self, login: Login) -> None:
        """See `Door.leave`."""
        if login in self._logins and login.entered is None:
            self._telemetry.count("cdp_sftp_logins", outcome="refused")
        self._logins.discard(login)

    async def account(self, name: str) -> SftpAccount | None:
        """See `Door.account`."""
        return (await self._accounts.across_clients([name])).get(name)

    def sessions(self, account: SftpAccount) -> int:
        """See `Door.sessions`."""
        return sum(len(each.sessions) for each in self._logins if _is_of(each, account))

    def _has_ended(self, folders: AccountFolders) -> None:
        self._sessions.discard(folders)
        self._one_ended.set()

    def folders(self, channel: Any, account: SftpAccount, session: Session) -> AccountFolders:
        """See `Door.folders`."""
        tree = Tree(
            account,
            spool=self._spool,
            files=self._listed,
            readers=self._readers,
            outputs=self._outputs,
        )
        folders = AccountFolders(
            channel,
            account=account,
            tree=tree,
            spool=self._spool,
            handover=self._handover,
            session=session,
            write=self._write,
            ended=self._has_ended,
        )
        self._sessions.add(folders)
        return folders


def _is_of(login: Login, account: SftpAccount) -> bool:
    return login.entered is not None and login.entered.id == account.id
