"""There is an end to what an inbox holds, told in words and leaving nothing behind."""

from dataclasses import replace
from typing import Any

import asyncssh
import pytest

from tests.integration.sftp.rig import ROWS, Sftp, write


async def set_quota(sftp: Sftp, **quota: Any) -> None:
    await sftp.accounts.update(sftp.client.id, sftp.name, lambda account: replace(account, **quota))


async def test_bytes_beyond_the_quota_are_refused_and_nothing_is_left(sftp: Sftp):
    await set_quota(sftp, quota_bytes=100_000)
    async with sftp.session() as client:
        await write(client, "/inbox/a.part", ROWS[:60_000])
        for mode in ("wb", "ab"):
            with pytest.raises(asyncssh.SFTPFailure, match="at most 100,000 bytes"):
                await write(client, "/inbox/b.part", ROWS[:60_000], mode)
        file = await client.open("/inbox/b.part", "wb")
        with pytest.raises(asyncssh.SFTPFailure, match="at most 100,000 bytes"):
            # A hole counts as what it looks like.
            await file.write(b"x", offset=50_000)
        with pytest.raises(asyncssh.SFTPFailure):
            await file.close()
        assert await client.listdir("/inbox") == [".", "..", "a.part"]
        await write(client, "/inbox/b.part", ROWS[:40_000])
        await client.remove("/inbox/a.part")
        await write(client, "/inbox/a.part", ROWS[:60_000])


async def test_files_beyond_the_quota_are_refused(sftp: Sftp):
    await set_quota(sftp, quota_files=2)
    async with sftp.session() as client:
        for name in "ab":
            await write(client, f"/inbox/{name}.part", b"x")
        with pytest.raises(asyncssh.SFTPFailure, match="at most 2 files"):
            await client.open("/inbox/c.part", "wb")
        await write(client, "/inbox/b.part", b"y")


async def test_a_full_disk_is_told_and_nothing_is_left(sftp: Sftp):
    async with sftp.session() as client:
        sftp.disk.room = 50_000
        with pytest.raises(asyncssh.SFTPFailure, match="no room"):
            await write(client, "/inbox/a.part", ROWS)
        assert await client.listdir("/inbox") == [".", ".."]
        assert sftp.spooled() == []
        sftp.disk.room = None
        sftp.disk.free = 10_000
        with pytest.raises(asyncssh.SFTPFailure, match="no room"):
            await client.open("/inbox/a.part", "wb")
        sftp.disk.free = 10**12
        await write(client, "/inbox/a.part", ROWS)
        await client.rename("/inbox/a.part", "/inbox/a")
    [file] = await sftp.takes()
    assert sftp.content(file) == ROWS
