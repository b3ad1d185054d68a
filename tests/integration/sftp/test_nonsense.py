"""Requests that no client sends: none of them gets anywhere, or leaves anything behind."""

import logging
import random

import asyncssh
import pytest

from tests.integration.sftp.rig import Sftp
from tests.integration.sftp.test_quotas import packet, string

PATHS = (b"/inbox/a.part", b"/inbox/b", b"/", b"/inbox", b"..", b"/results/x", b"\0", b"")
EXTENSIONS = (
    b"posix-rename@openssh.com",
    b"hardlink@openssh.com",
    b"fsync@openssh.com",
    b"lsetstat@openssh.com",
    b"limits@openssh.com",
    b"copy-data",
    b"ranges@asyncssh.com",
    b"statvfs@openssh.com",
    b"fstatvfs@openssh.com",
    b"nothing@example.org",
)


def request(draw: random.Random, number: int) -> bytes:
    """A request of any kind, whose fields are likely, or anything."""
    kind = draw.choice([*range(3, 23), 200, 200, draw.randrange(256)])
    fields = number.to_bytes(4, "big")
    if kind == 200:
        fields += string(draw.choice(EXTENSIONS))
    for _ in range(draw.randrange(5)):
        fields += draw.choice(
            [
                string(draw.choice(PATHS)),
                string(draw.randrange(4).to_bytes(4, "big")),
                string(draw.randbytes(draw.randrange(40))),
                draw.randrange(64).to_bytes(4, "big"),
                draw.randrange(1 << 40).to_bytes(8, "big"),
                draw.randbytes(draw.randrange(12)),
            ]
        )
    return packet(kind, fields)


@pytest.mark.parametrize("seed", range(8))
async def test_nonsense_harms_nobody(sftp: Sftp, seed: int, caplog: pytest.LogCaptureFixture):
    draw = random.Random(seed)
    async with await sftp.connect() as connection:
        writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
        writer.write(packet(1, (3).to_bytes(4, "big")))
        answers = 0
        try:
            for number in range(400):
                writer.write(request(draw, number))
                size = int.from_bytes(await reader.readexactly(4), "big")
                await reader.readexactly(size)
                answers += 1
        except (asyncssh.Error, EOFError, OSError):
            # It may hang up on who speaks no SFTP.
            pass
        assert answers > 10
    async with sftp.session() as client:
        assert await client.listdir("/") == [".", "..", "inbox", "processed", "rejected", "results"]
    assert sorted(path.name for path in sftp.root.parent.iterdir()) == ["spool"]
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == []
