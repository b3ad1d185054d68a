"""Files that come by SFTP: when they count, and that nothing of them is lost or doubled."""

import asyncio
from pathlib import Path

import asyncssh
import pytest

from cdp.domain.request_file import FileSource
from tests.integration.sftp.rig import ROWS, Sftp, fetch, write
from tests.waiting import eventually


async def test_f3_a_file_counts_when_it_is_renamed(sftp: Sftp):
    await sftp.account(defaults={"template": "welcome"})
    async with sftp.session() as client:
        await write(client, "/inbox/rows.csv.part", ROWS)
        await client.rename("/inbox/rows.csv.part", "/inbox/rows.csv")

        [file] = await sftp.takes()
        assert (await client.stat("/inbox/rows.csv")).size == len(ROWS)
    assert (file.name, file.source, file.size) == ("rows.csv", FileSource.SFTP, len(ROWS))
    assert file.options == {"template": "welcome"}
    assert sftp.content(file) == ROWS
    await eventually(lambda: sftp.spooled() == [], within_s=5)


async def test_a_file_counts_when_it_rests_after_it_was_closed(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/rows.csv", ROWS)
        await write(client, "/inbox/more.csv.part", ROWS[:100])

        [file] = await sftp.takes()
        assert sftp.content(file) == ROWS
        names = await client.listdir("/inbox")
    assert "more.csv.part" in names
    assert "rows.csv" not in names


async def test_what_is_opened_again_in_time_does_not_count_yet(stopped: Sftp):
    stopped.limits = type(stopped.limits)(settle_s=3600)
    await stopped.start()
    async with stopped.session() as client:
        await write(client, "/inbox/rows.csv", ROWS[:1000])
        await write(client, "/inbox/rows.csv", ROWS[1000:], mode="ab")
        assert (await client.stat("/inbox/rows.csv")).size == len(ROWS)
        await client.posix_rename("/inbox/rows.csv", "/inbox/rows.csv.part")
        await client.posix_rename("/inbox/rows.csv.part", "/inbox/rows.csv")

    [file] = await stopped.takes()
    assert stopped.content(file) == ROWS


@pytest.mark.parametrize("tenth", range(1, 10))
async def test_an_upload_that_is_cut_off_is_resumed_and_is_one_file(sftp: Sftp, tenth: int):
    cut = len(ROWS) * tenth // 10
    connection = await sftp.connect()
    client = await connection.start_sftp_client()
    file = await client.open("/inbox/rows.csv", "wb")
    await file.write(ROWS[:cut])
    connection.abort()
    await connection.wait_closed()

    async def let_go() -> bool:
        async with sftp.session() as client:
            size = (await client.stat("/inbox/rows.csv")).size
            assert size == cut
            await write(client, "/inbox/rows.csv", ROWS[cut:], mode="ab")
        return True

    async def resumed() -> bool:
        try:
            return await let_go()
        except asyncssh.SFTPFailure:
            return False

    await eventually(resumed, within_s=10)
    [taken] = await sftp.takes()
    assert sftp.content(taken) == ROWS
    await eventually(lambda: sftp.spooled() == [], within_s=5)


async def test_what_was_cut_off_can_not_be_renamed_into_counting(sftp: Sftp):
    connection = await sftp.connect()
    client = await connection.start_sftp_client()
    file = await client.open("/inbox/rows.csv.part", "wb")
    await file.write(ROWS[:1000])
    connection.abort()
    await connection.wait_closed()

    async with sftp.session() as client:
        with pytest.raises(asyncssh.SFTPFailure):
            await client.rename("/inbox/rows.csv.part", "/inbox/rows.csv")
    assert await sftp.taken() == []


async def test_the_end_of_a_session_closes_no_upload(sftp: Sftp):
    async with await sftp.connect() as connection:
        client = await connection.start_sftp_client()
        file = await client.open("/inbox/rows.csv", "wb")
        await file.write(ROWS[:1000])
        client.exit()
        await client.wait_closed()
        async with connection.start_sftp_client() as again:
            await write(again, "/inbox/marker.csv", b"to\r\nada@example.org\r\n")

        await sftp.takes()
        async with connection.start_sftp_client() as again:
            assert await again.listdir("/inbox") == [".", "..", "rows.csv"]
    assert [file.name for file in await sftp.taken()] == ["marker.csv"]


async def test_two_can_not_write_one_name_at_a_time(sftp: Sftp):
    async with sftp.session() as one, sftp.session() as two:
        file = await one.open("/inbox/rows.csv.part", "wb")
        await file.write(ROWS[:10])
        for refused in (
            two.open("/inbox/rows.csv.part", "wb"),
            two.remove("/inbox/rows.csv.part"),
            two.rename("/inbox/rows.csv.part", "/inbox/rows.csv"),
        ):
            with pytest.raises(asyncssh.SFTPFailure):
                await refused
        await file.write(ROWS[10:])
        await file.close()
        await two.rename("/inbox/rows.csv.part", "/inbox/rows.csv")

    [taken] = await sftp.takes()
    assert sftp.content(taken) == ROWS


async def test_an_upload_takes_the_place_of_one_that_does_not_count_yet(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/a.tmp", b"old")
        await write(client, "/inbox/a.tmp", b"new and longer")
        await write(client, "/inbox/b.tmp", b"other")
        with pytest.raises(asyncssh.SFTPFailure):
            await client.rename("/inbox/b.tmp", "/inbox/a.tmp")
        await client.posix_rename("/inbox/b.tmp", "/inbox/a.tmp")
        assert await client.listdir("/inbox") == [".", "..", "a.tmp"]
        await client.rename("/inbox/a.tmp", "/inbox/a")

    [file] = await sftp.takes()
    assert sftp.content(file) == b"other"


async def test_the_same_bytes_within_a_day_are_refused_with_a_reason(sftp: Sftp):
    async with sftp.session() as client:
        for name in ("first.csv", "again.csv"):
            await write(client, f"/inbox/{name}.part", ROWS)
            await client.rename(f"/inbox/{name}.part", f"/inbox/{name}")
            await eventually(lambda: sftp.spooled() == [], within_s=10)
        await write(client, "/inbox/empty.csv", b"")
        await eventually(lambda: sftp.spooled() == [], within_s=10)

        names = await client.listdir("/rejected")
        reason = await fetch(client, "/rejected/again.csv.reason.txt")
    assert names == [".", "..", "empty.csv.reason.txt", "again.csv.reason.txt"]
    assert b"same bytes" in reason
    assert [file.name for file in await sftp.taken()] == ["first.csv"]


async def test_what_is_complete_outlasts_the_gateway(stopped: Sftp):
    stopped.store.is_away = True
    await stopped.start()
    async with stopped.session() as client:
        for name in ("a.csv", "b.csv"):
            await write(client, f"/inbox/{name}.part", name.encode())
            await client.rename(f"/inbox/{name}.part", f"/inbox/{name}")
        assert sorted(await client.listdir("/inbox")) == [".", "..", "a.csv", "b.csv"]
    await stopped.stop()

    stopped.store.is_away = False
    await stopped.start()

    files = await stopped.takes(2)
    assert sorted(file.name for file in files) == ["a.csv", "b.csv"]


async def test_who_dies_after_the_platform_has_it_hands_nothing_over_twice(stopped: Sftp):
    """Its note says that it is being handed over, and the platform has it."""
    await stopped.start()
    gone = asyncio.Event()
    remove = Path.unlink

    def dies(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".json":
            gone.set()
            raise OSError("the process is gone")
        remove(path, missing_ok=missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", dies)
        async with stopped.session() as client:
            await write(client, "/inbox/a.csv.part", ROWS)
            await client.rename("/inbox/a.csv.part", "/inbox/a.csv")
        await asyncio.wait_for(gone.wait(), 10)
        await stopped.stop()
    assert len(stopped.spooled()) == 2

    await stopped.start()

    await eventually(lambda: stopped.spooled() == [], within_s=10)
    assert [file.name for file in await stopped.taken()] == ["a.csv"]
    async with stopped.session() as client:
        assert await client.listdir("/rejected") == [".", ".."]
