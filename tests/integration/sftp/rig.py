"""The SFTP gateway on a real port and a real MongoDB, and asyncssh's own client."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from cdp.domain.client import Client
from cdp.domain.ids import ClientId, fresh_id
from cdp.domain.request_file import RequestFile
from cdp.domain.sftp_account import SftpAccount
from cdp.ports.clock import Clock, SystemClock
from cdp.services.file_service import FileService
from cdp.services.sftp_account_service import NewSftpAccount, SftpAccountService, public_keys
from cdp.sftp.gateway import GatewayLimits, SftpGateway
from cdp.sftp.outputs import FileReaders
from cdp.sftp.spool import Spool
from cdp.storage.clients import Clients
from cdp.storage.database import Database
from cdp.storage.request_files import RequestFiles
from cdp.storage.sftp_accounts import SftpAccounts
from cdp.telemetry import Telemetry
from tests.integration.sftp.store import MemoryObjects
from tests.waiting import eventually

HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
ROWS = b"to,name\r\n" + b"".join(b"ada%d@example.org,Ada\r\n" % n for n in range(20_000))
RESULTS = b"row,id,state\r\n1,x,delivered\r\n"
REJECTS = b"row,column,code\r\n2,to,address_invalid\r\n"
NOBODY: dict[str, Any] = {"config": None, "agent_path": None, "gss_host": None}
"""What asyncssh's client would else take from whoever runs the tests."""


class Disk:
    """Writes as the disk does, until it is full."""

    def __init__(self) -> None:
        self.free = 10**12
        self.room: int | None = None

    def free_bytes(self, path: Path) -> int:
        return self.free

    def write(self, fd: int, data: bytes, offset: int) -> int:
        if self.room is not None:
            if self.room == 0:
                raise OSError(28, os.strerror(28))
            data = data[: self.room]
            self.room -= len(data)
        return os.pwrite(fd, data, offset)


@dataclass(kw_only=True)
class Sftp:
    """A gateway, one client of the platform, and one account."""

    database: Database
    root: Path
    client: Client
    store: MemoryObjects = field(default_factory=MemoryObjects)
    disk: Disk = field(default_factory=Disk)
    clock: Clock = field(default_factory=SystemClock)
    key: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )
    limits: GatewayLimits = field(default_factory=lambda: GatewayLimits(settle_s=0.2))
    gateway: SftpGateway | None = None
    port: int = 0
    name: str = field(default_factory=lambda: f"u{secrets.token_hex(8)}")

    @property
    def accounts(self) -> SftpAccountService:
        return SftpAccountService(
            accounts=SftpAccounts(self.database), clock=self.clock, random_bytes=os.urandom
        )

    @property
    def files(self) -> FileService:
        return FileService(
            files=RequestFiles(self.database),
            store=self.store,
            clock=self.clock,
            random_bytes=os.urandom,
        )

    async def account(self, **fields: Any) -> SftpAccount:
        """Make the account, or let it be this."""
        line = self.key.export_public_key().decode()
        new = NewSftpAccount(**({"keys": public_keys([line]), "defaults": {}} | fields))
        account, _ = await self.accounts.put(self.client.id, self.name, new)
        return account

    async def start(self) -> None:
        """Start the gateway, on the port that it had."""
        self.gateway = SftpGateway(
            accounts=self.accounts,
            files=self.files,
            readers=FileReaders(
                source=lambda file: self.store.read(file.key),
                results=lambda file: pieces(RESULTS),
                rejects=lambda file: pieces(REJECTS),
            ),
            spool=Spool(
                self.root,
                clock=self.clock,
                random_bytes=os.urandom,
                free_bytes=self.disk.free_bytes,
            ),
            host_key=HOST_KEY.export_private_key().decode(),
            clock=self.clock,
            telemetry=Telemetry(),
            limits=self.limits,
            write=self.disk.write,
        )
        self.port = await self.gateway.start("127.0.0.1", self.port)

    async def stop(self) -> None:
        """Stop the gateway, if it runs."""
        if self.gateway is not None:
            await self.gateway.stop()
            self.gateway = None

    async def connect(self, **options: Any) -> asyncssh.SSHClientConnection:
        """Log in."""
        given = {"username": self.name, "client_keys": [self.key]} | NOBODY | options
        hosts = asyncssh.import_known_hosts(f"* {HOST_KEY.export_public_key().decode()}")
        return await asyncssh.connect("127.0.0.1", self.port, known_hosts=hosts, **given)

    @asynccontextmanager
    async def session(self, **options: Any) -> AsyncIterator[asyncssh.SFTPClient]:
        """One session."""
        async with await self.connect(**options) as connection, connection.start_sftp_client() as c:
            yield c

    async def taken(self) -> list[RequestFile]:
        """What the platform has got, the newest first."""
        return await self.files.page(self.client.id, state=None, before=None, limit=100)

    async def takes(self, count: int = 1) -> list[RequestFile]:
        """Wait until the platform has so many."""

        async def enough() -> list[RequestFile] | None:
            files = await self.taken()
            return files if len(files) >= count else None

        return await eventually(enough, within_s=10)

    def content(self, file: RequestFile) -> bytes:
        return self.store.objects[file.key]

    def spooled(self) -> list[str]:
        """Files of uploads that are in the spool."""
        return sorted(
            path.name
            for path in self.root.glob("*/*")
            if path.suffix in (".data", ".json", ".new") and path.is_file()
        )


async def write(client: asyncssh.SFTPClient, path: str, content: bytes, mode: str = "wb") -> None:
    """Upload in one go."""
    async with client.open(path, mode) as file:
        await file.write(content)


async def fetch(client: asyncssh.SFTPClient, path: str, **part: int) -> bytes:
    """Download, or a part."""
    async with client.open(path, "rb") as file:
        content = await file.read(**part)
    assert isinstance(content, bytes)
    return content


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def new_client(database: Database) -> Client:
    now = SystemClock().now()
    client_id = ClientId(fresh_id(now, os.urandom))
    client = Client(id=client_id, name=f"sftp-{client_id.hex()}", created_at=now)
    await Clients(database).insert(client)
    return client
