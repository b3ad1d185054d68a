"""A gateway in a process of its own, to be killed: `python -m … <a JSON object>`."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from cdp.domain.ids import ClientId
from cdp.domain.request_file import RequestFile
from cdp.ports.clock import SystemClock
from cdp.services.file_service import FileService, NewFile
from cdp.services.sftp_account_service import SftpAccountService
from cdp.sftp.gateway import GatewayLimits, SftpGateway
from cdp.sftp.outputs import FileReaders
from cdp.sftp.spool import Spool
from cdp.storage.database import Database
from cdp.storage.request_files import RequestFiles
from cdp.storage.sftp_accounts import SftpAccounts
from cdp.telemetry import Telemetry
from tests.integration.sftp.store import MemoryObjects


class Mortal(FileService):
    """Dies before or after it has taken a file, if that is said."""

    def __init__(self, *, dies: str | None, **parts: Any) -> None:
        super().__init__(**parts)
        self._dies = dies

    async def take(self, client_id: ClientId, new: NewFile, chunks: Any) -> RequestFile:
        if self._dies == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        file = await super().take(client_id, new, chunks)
        if self._dies == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return file


async def main(said: dict[str, Any]) -> None:
    clock, store = SystemClock(), MemoryObjects()
    database = Database(said["mongo_uri"], component="sftp-gateway")
    accounts = SftpAccounts(database)
    gateway = SftpGateway(
        accounts=SftpAccountService(accounts=accounts, clock=clock, random_bytes=os.urandom),
        files=Mortal(
            dies=said["dies"],
            files=RequestFiles(database),
            store=store,
            clock=clock,
            random_bytes=os.urandom,
        ),
        readers=FileReaders(
            source=lambda file: store.read(file.key),
            results=lambda file: store.read(file.key),
            rejects=lambda file: store.read(file.key),
        ),
        spool=Spool(Path(said["root"]), clock=clock, random_bytes=os.urandom),
        host_key=said["host_key"],
        clock=clock,
        telemetry=Telemetry(),
        limits=GatewayLimits(settle_s=0.2),
    )
    sys.stdout.write(f"{await gateway.start('127.0.0.1', said['port'])}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.stdin.readline())))
