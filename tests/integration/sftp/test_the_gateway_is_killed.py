"""kill -9 of the gateway's process: what was confirmed is there, once, and the rest is resumed."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import asyncssh
import pytest
import pytest_asyncio

from tests.integration.conftest import Embedded
from tests.integration.sftp.rig import HOST_KEY, ROWS, Sftp, write
from tests.waiting import eventually

MODULE = "tests.integration.sftp.gateway_process"


class Gateways:
    """Gateways one after the other, on one port and one spool."""

    def __init__(self, sftp: Sftp, mongo_uri: str) -> None:
        self.sftp = sftp
        self._mongo_uri = mongo_uri
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *, dies: str | None = None) -> None:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, stdin=pipe, stdout=pipe
        )
        said = {
            "mongo_uri": self._mongo_uri,
            "dies": dies,
            "root": str(self.sftp.root),
            "host_key": HOST_KEY.export_private_key().decode(),
            "port": self.sftp.port,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        await self._process.stdin.drain()
        self.sftp.port = int(await asyncio.wait_for(self._process.stdout.readline(), 30))

    async def ended(self) -> None:
        assert self._process is not None
        await asyncio.wait_for(self._process.wait(), 20)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@pytest_asyncio.fixture
async def gateways(stopped: Sftp, embedded: Embedded) -> AsyncIterator[Gateways]:
    gateways = Gateways(stopped, embedded.mongo_uri("platform"))
    yield gateways
    await gateways.kill()


@pytest.mark.parametrize("dies", ["before", "after"])
async def test_a_renamed_file_reaches_the_platform_once(gateways: Gateways, dies: str):
    sftp = gateways.sftp
    await gateways.start(dies=dies)
    async with sftp.session() as client:
        await write(client, "/inbox/a.csv.part", ROWS)
        await client.rename("/inbox/a.csv.part", "/inbox/a.csv")
        await gateways.ended()
    assert len(sftp.spooled()) == 2

    await gateways.start()

    await eventually(lambda: sftp.spooled() == [], within_s=10)
    [file] = await sftp.taken()
    assert (file.name, file.size) == ("a.csv", len(ROWS))
    async with sftp.session() as client:
        assert await client.listdir("/rejected") == [".", ".."]


async def test_a_closed_file_counts_after_the_kill_too(gateways: Gateways):
    sftp = gateways.sftp
    await gateways.start(dies="before")
    async with sftp.session() as client:
        await write(client, "/inbox/a.csv", ROWS)
        await gateways.ended()

    await gateways.start()

    [file] = await sftp.takes()
    assert file.size == len(ROWS)


@pytest.mark.parametrize("tenth", [1, 5, 9])
async def test_f3_what_was_under_way_is_resumed(gateways: Gateways, tenth: int):
    sftp, cut = gateways.sftp, len(ROWS) * tenth // 10
    await gateways.start()
    connection = await sftp.connect()
    client = await connection.start_sftp_client()
    file = await client.open("/inbox/a.csv.part", "wb")
    await file.write(ROWS[:cut])
    await gateways.kill()
    await connection.wait_closed()

    await gateways.start()

    async with sftp.session() as client:
        with pytest.raises(asyncssh.SFTPFailure):
            await client.rename("/inbox/a.csv.part", "/inbox/a.csv")
        assert (await client.stat("/inbox/a.csv.part")).size == cut
        await write(client, "/inbox/a.csv.part", ROWS[cut:], mode="ab")
        await client.rename("/inbox/a.csv.part", "/inbox/a.csv")
    [taken] = await sftp.takes()
    assert taken.size == len(ROWS)
