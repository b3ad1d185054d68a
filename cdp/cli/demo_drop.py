"""The shop's second door in the demonstration: a file dropped by SFTP, and its receipts fetched.

The account is made through the API, with a key that lives as long as the demonstration. What became
of the rows is read as a partner would: from the files of results and rejects that appear.
"""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncssh

from cdp.cli import demo_plan as plan
from cdp.cli.api import Api
from cdp.cli.demo_client import Ledger
from cdp.cli.demo_senders import Sender
from cdp.cli.demo_standing import SenderStanding
from cdp.errors import CdpError

TRIES: Final = 120
EVERY_S: Final = 0.5
REJECTED: Final = "rejected"
ENDED: Final = frozenset({"done", "failed", "cancelled"})
NOTHING_OF_THE_USER: Final[dict[str, Any]] = {"config": None, "agent_path": None, "gss_host": None}
"""What asyncssh would else take from the shell of whoever runs the demonstration."""


class DropFailed(CdpError):
    """The file that was dropped by SFTP did not come through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Where files are dropped."""

    host: str
    port: int
    host_key: str
    """The public key that the gateway must show, as OpenSSH writes it."""

    @classmethod
    def of(cls, host: str, port: int, private_key: str) -> "Gateway":
        """The gateway that has this host key."""
        public = asyncssh.import_private_key(private_key).export_public_key("openssh")
        return cls(host=host, port=port, host_key=public.decode().strip())

    @property
    def known_hosts(self) -> bytes:
        """The line of a `known_hosts` that names it."""
        return f"[{self.host}]:{self.port} {self.host_key}\n".encode()


class Dropper(Sender):
    """Drops one channel of the campaign as one file."""

    def __init__(
        self,
        api: Api,
        *,
        campaign: str,
        channel: str,
        accepted: Ledger,
        standing: SenderStanding,
        gateway: Gateway,
    ) -> None:
        super().__init__(
            api, campaign=campaign, channel=channel, accepted=accepted, standing=standing
        )
        self._gateway = gateway
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._login = f"demo-{campaign}"
        self._name = f"{campaign}-{channel}.ndjson"

    async def open_account(self) -> None:
        """Make the account; the gateway starts with the first one of the platform."""
        public = self._key.export_public_key("openssh").decode().strip()
        await self.api.put(f"/sftp-accounts/{self._login}", {"keys": [public]})

    async def close_account(self) -> None:
        """Take the account away: its key ends with this process."""
        await self.api.delete(f"/sftp-accounts/{self._login}")

    async def drop(self, batch: plan.Batch) -> None:
        """Drop these as a file, wait until it is through, and fetch what became of its rows.

        Raises:
            DropFailed: the gateway does not answer, or the file could not be read.
        """
        self.expected += batch.expected
        self.standing.posted += len(batch.items)
        async with self._session() as sftp:
            await _put(sftp, f"/inbox/{self._name}", batch.body)
            file = await self._through()
            for row in await _rows(sftp, f"/results/{self._name}.results.csv"):
                if row["state"] != REJECTED:
                    self._accept({row["id"]: None})
            if file["rows"]["rejected"]:
                await self._note_rejects(sftp)
        self.standing.all_posted = True

    async def _note_rejects(self, sftp: asyncssh.SFTPClient) -> None:
        rejects = await _rows(sftp, f"/rejected/{self._name}.rejects.csv")
        self.standing.rejected += len(rejects)
        self.refusals.update(f"{row['column'] or 'row'}: {row['reason']}" for row in rejects)

    async def _through(self) -> dict[str, Any]:
        """The file, once it is done."""
        file = await _until(self._found, "The file that was dropped is not listed")
        while file["state"] not in ENDED:
            await asyncio.sleep(EVERY_S)
            file = await self.api.get(f"/files/{file['id']}")
        if file["state"] != "done":
            raise DropFailed(f"The file is {file['state']}: {file['detail']}")
        self.batches.append(file["batch_id"])
        return dict(file)

    async def _found(self) -> dict[str, Any] | None:
        page = await self.api.get("/files", limit="50")
        return next((file for file in page["items"] if file["name"] == self._name), None)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[asyncssh.SFTPClient]:
        connection = await _until(self._connected, "The SFTP gateway is not there")
        async with connection, connection.start_sftp_client() as sftp:
            yield sftp

    async def _connected(self) -> asyncssh.SSHClientConnection | None:
        try:
            return await asyncssh.connect(
                self._gateway.host,
                self._gateway.port,
                username=self._login,
                client_keys=[self._key],
                known_hosts=asyncssh.import_known_hosts(self._gateway.known_hosts.decode()),
                **NOTHING_OF_THE_USER,
            )
        except (OSError, asyncssh.PermissionDenied, asyncssh.ConnectionLost):
            # It starts now, or has not heard of the account yet.
            return None


async def _put(sftp: asyncssh.SFTPClient, path: str, content: bytes) -> None:
    """Write it under a name that does not count, then rename it: so it is never half there."""
    async with sftp.open(f"{path}.part", "wb", encoding=None) as file:
        await file.write(content)
    await sftp.rename(f"{path}.part", path)


async def _rows(sftp: asyncssh.SFTPClient, path: str) -> list[dict[str, str]]:
    async with sftp.open(path, "r", encoding="utf-8") as file:
        content: str = await file.read()
    return list(csv.DictReader(io.StringIO(content, newline="")))


async def _until(ask: Callable[[], Awaitable[Any]], complaint: str) -> Any:
    for _ in range(TRIES):
        if (found := await ask()) is not None:
            return found
        await asyncio.sleep(EVERY_S)
    raise DropFailed(f"{complaint}.")
