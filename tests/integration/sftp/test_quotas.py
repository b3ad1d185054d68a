"""There is an end to what an inbox holds, told in words and leaving nothing behind."""

from dataclasses import replace
from typing import Any

import asyncssh
import pytest

from tests.integration.sftp.rig import ROWS, Sftp, write
from tests.waiting import eventually


async def set_quota(sftp: Sftp, **quota: Any) -> None:
    await sftp.accounts.update(sftp.client.id, sftp.name, lambda account: replace(account, **quota))


async def test_f2_bytes_beyond_the_quota_are_refused_and_nothing_is_left(sftp: Sftp):
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


async def test_who_asks_and_takes_no_answer_costs_no_memory(sftp: Sftp):
    """A client may send a thousand requests of 256 KiB each in 30 KiB, and read nothing."""
    async with sftp.session() as client:
        await write(client, "/inbox/a.part", bytes(4_000_000))
    async with await sftp.connect() as connection:
        writer, reader, _ = await connection.open_session(
            subsystem="sftp", encoding=None, window=65_536
        )
        opened = string(b"/inbox/a.part") + number(1) + number(0)
        writer.write(packet(1, number(3)) + packet(3, number(1) + opened))
        # Its version, and the handle, which is the first; what comes after is left lying.
        await reader.readexactly(4)
        read = number(2) + string(bytes(4)) + bytes(8) + number(262_144)
        writer.write(packet(5, read) * 1_000)
        await writer.drain()

        async def waits() -> int:
            assert sftp.gateway is not None
            return sftp.gateway.waiting_bytes()

        await eventually(waits, within_s=10)
        # Another session of the account is served as ever, after all of that has arrived.
        async with connection.start_sftp_client() as client:
            await client.listdir("/inbox")
        assert 0 < await waits() < 1_000_000


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def string(content: bytes) -> bytes:
    return number(len(content)) + content


def packet(kind: int, content: bytes) -> bytes:
    return string(bytes([kind]) + content)
