"""What a session may do in its folders, and that there is no way out of them."""

import os
import stat
from datetime import timedelta

import asyncssh
import pytest

from cdp.domain.ids import fresh_id
from cdp.domain.request_file import RequestFile
from cdp.sftp.folders import HANDLES_MAX
from cdp.sftp.outputs import SCANNED_MAX
from tests.integration.sftp.rig import (
    REJECTS,
    RESULTS,
    ROWS,
    Sftp,
    fetch,
    new_client,
    write,
)
from tests.waiting import eventually

DENIED = asyncssh.SFTPPermissionDenied
NONE = asyncssh.SFTPNoSuchFile


async def test_there_are_four_folders(sftp: Sftp):
    async with sftp.session() as client:
        assert await client.listdir("/") == [".", "..", "inbox", "processed", "rejected", "results"]
        for name in ("/", "/inbox", "/processed", "/rejected", "/results"):
            assert stat.S_ISDIR((await client.stat(name)).permissions or 0)
        for folder in ("/inbox", "/processed", "/rejected", "/results"):
            assert await client.listdir(folder) == [".", ".."]


@pytest.mark.parametrize(
    ("path", "real"),
    [
        (".", "/"),
        ("/inbox/..", "/"),
        ("../../..", "/"),
        ("/inbox/../../../etc/passwd", "/etc/passwd"),
        ("inbox//./a", "/inbox/a"),
    ],
)
async def test_f2_no_path_is_above_the_root(sftp: Sftp, path, real):
    async with sftp.session() as client:
        assert await client.realpath(path) == real


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../etc/passwd",
        "/inbox/../../etc/passwd",
        "/inbox/sub/file",
        "/inbox/../secrets",
        "/proc/self/environ",
        "/file",
        b"/inbox/a\0.csv",
        b"/inbox/\xff\xfe.csv",
        "/inbox/a\nb.csv",
        "/inbox/\u202efdp.csv",
        "/inbox/a\\b.csv",
        "/inbox/.part",
        "/inbox/ a.csv",
        "/inbox/" + "x" * 201,
        "/" + "x/" * 3000,
    ],
)
async def test_what_is_no_file_of_the_inbox_can_not_be_written(sftp: Sftp, path):
    async with sftp.session() as client:
        for mode in ("wb", "ab", "xb", "r+b"):
            with pytest.raises(asyncssh.SFTPError):
                await client.open(path, mode)
        with pytest.raises(asyncssh.SFTPError):
            await client.open(path, "rb")
        with pytest.raises(asyncssh.SFTPError):
            await client.stat(path)
    assert sftp.spooled() == []
    assert sorted(p.name for p in sftp.root.parent.iterdir()) == ["spool"]


async def test_a_name_is_for_people_whatever_it_says(sftp: Sftp):
    names = ["..csv", "...", "a b'\"`$(id).csv", "größe-列表.csv", "-rf", "~root", "%2e%2e%2f"]
    async with sftp.session() as client:
        for name in names:
            await write(client, f"/inbox/{name}.part", name.encode())
        listed = await client.listdir("/inbox")
    assert sorted(listed) == sorted([".", "..", *(f"{name}.part" for name in names)])
    assert all(set(each) <= set("0123456789abcdef.datajson") for each in sftp.spooled())


async def test_f2_folders_and_links_are_neither_made_nor_followed(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/a.part", ROWS[:100])
        for refused in (client.mkdir("/inbox/sub"), client.mkdir("/more"), client.rmdir("/inbox")):
            with pytest.raises(DENIED):
                await refused
        for link in (
            client.symlink("/etc/passwd", "/inbox/link"),
            client.link("/inbox/a.part", "/inbox/hard"),
            client.readlink("/inbox/a.part"),
        ):
            with pytest.raises(asyncssh.SFTPOpUnsupported):
                await link
        assert await client.listdir("/inbox") == [".", "..", "a.part"]


async def test_what_is_made_for_clients_is_only_read(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/a.part", ROWS[:100])
        for refused in (
            client.open("/results/x.csv", "wb"),
            client.open("/processed/x.csv", "ab"),
            client.rename("/inbox/a.part", "/processed/a"),
            client.rename("/inbox", "/outbox"),
            client.remove("/results/x.csv"),
            client.remove("/inbox"),
        ):
            with pytest.raises((DENIED, NONE)):
                await refused


async def test_of_attributes_only_an_uploads_time_can_be_set(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/a.part", ROWS[:100])
        for attrs in (
            asyncssh.SFTPAttrs(permissions=0o777),
            asyncssh.SFTPAttrs(uid=0, gid=0),
            asyncssh.SFTPAttrs(size=0),
        ):
            with pytest.raises(DENIED):
                await client.setstat("/inbox/a.part", attrs)
        for path in ("/inbox", "/", "/results/x"):
            with pytest.raises((DENIED, NONE)):
                await client.utime(path, (1, 2))
        await client.utime("/inbox/a.part", (1_000, 2_000))
        assert (await client.stat("/inbox/a.part")).mtime == 2_000
        async with client.open("/inbox/a.part", "r+b") as file:
            await file.truncate(10)
            with pytest.raises(DENIED):
                await file.truncate(10_000_000)
        assert (await client.stat("/inbox/a.part")).size == 10


async def test_results_and_rejects_are_fetched_under_the_files_name(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/rows.csv.part", ROWS)
        await client.rename("/inbox/rows.csv.part", "/inbox/rows.csv")
        [file] = await sftp.takes()
        await sftp.database["files"].update_one(
            {"_id": file.id},
            {"$set": {"state": "done", "checkpoint.rows": 2, "checkpoint.rejected": 1}},
        )

        async def shown() -> bool:
            return "rows.csv.results.csv" in await client.listdir("/results")

        await eventually(shown, within_s=10)
        assert await client.listdir("/rejected") == [".", "..", "rows.csv.rejects.csv"]
        assert await client.listdir("/processed") == [".", "..", "rows.csv"]
        for path, content in (
            ("/results/rows.csv.results.csv", RESULTS),
            ("/rejected/rows.csv.rejects.csv", REJECTS),
            ("/processed/rows.csv", ROWS),
        ):
            assert (await client.stat(path)).size == len(content)
            assert await fetch(client, path) == content
            assert await fetch(client, path, size=5, offset=len(content) - 5) == content[-5:]


async def test_what_is_not_kept_any_more_is_said_to_be_gone(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/rows.csv.part", ROWS)
        await client.rename("/inbox/rows.csv.part", "/inbox/rows.csv")
        await sftp.takes()
        sftp.store.objects.clear()

        async def gone() -> bool:
            with pytest.raises(NONE) as refused:
                await client.open("/processed/rows.csv", "rb")
            return "not kept" in refused.value.reason

        await eventually(gone, within_s=10)
        assert await client.listdir("/processed") == [".", "..", "rows.csv"]


async def test_the_newest_of_a_name_has_it_and_older_ones_have_their_id(sftp: Sftp):
    async with sftp.session() as client:
        for number in range(3):
            await write(client, "/inbox/a.csv.part", b"to,n\r\nada@example.org,%d\r\n" % number)
            await client.rename("/inbox/a.csv.part", "/inbox/a.csv")
            await sftp.takes(number + 1)

        names = [name for name in await client.listdir("/processed") if name[0] != "."]
        assert names[0] == "a.csv"
        assert all(name.startswith("a.csv.0") and len(name) == 42 for name in names[1:])
        contents = [await fetch(client, f"/processed/{name}") for name in names]
    assert [content[-3:] for content in contents] == [b"2\r\n", b"1\r\n", b"0\r\n"]


async def test_one_clients_files_are_never_anothers(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/a.csv.part", ROWS)
        await client.rename("/inbox/a.csv.part", "/inbox/a.csv")
        await sftp.takes()
        await write(client, "/inbox/b.csv.part", ROWS)
    sftp.client = await new_client(sftp.database)
    sftp.name += "x"
    await sftp.account()

    async with sftp.session() as client:
        for folder in ("/inbox", "/processed", "/rejected", "/results"):
            assert await client.listdir(folder) == [".", ".."]
        with pytest.raises(NONE):
            await client.open("/processed/a.csv", "rb")


async def test_of_very_many_files_the_newest_are_listed(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/a.csv.part", ROWS)
        await client.rename("/inbox/a.csv.part", "/inbox/a.csv")
        [file] = await sftp.takes()
        collection = sftp.database["files"]
        document = await collection.find_one({"_id": file.id})
        assert document is not None
        first = int.from_bytes(file.id, "big")
        await collection.insert_many(
            document | {"_id": (first + n).to_bytes(16, "big"), "name": f"f{n}.csv"}
            for n in range(1, 10_001)
        )

        async def shown() -> list[str] | None:
            names = list(await client.listdir("/processed"))
            return names if "f10000.csv" in names else None

        names = await eventually(shown, within_s=10)
    assert len(names) == 1_002
    assert "f9001.csv" in names
    assert "f9000.csv" not in names


async def test_a_session_has_so_many_files_open(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "/inbox/a.part", ROWS)
        files = [await client.open("/inbox/a.part", "rb") for _ in range(HANDLES_MAX)]
        for refused in (client.open("/inbox/a.part", "rb"), client.listdir("/")):
            with pytest.raises(asyncssh.SFTPFailure):
                await refused
        await files[0].close()
        assert await client.listdir("/inbox") == [".", "..", "a.part"]


async def test_a_folder_is_of_files_by_sftp_however_many_came_otherwise(sftp: Sftp):
    async with sftp.session() as client:
        await write(client, "inbox/people.csv.part", ROWS)
        await client.rename("inbox/people.csv.part", "inbox/people.csv")
        [mine] = await sftp.takes()
        await many_by_the_api(sftp, mine)

        # The list of a moment ago is not new any more.
        assert await eventually(lambda: listed(client), within_s=10) == ["people.csv"]


async def listed(client: asyncssh.SFTPClient) -> list[str]:
    return [str(name) for name in await client.listdir("/processed") if str(name)[0] != "."]


async def many_by_the_api(sftp: Sftp, model: RequestFile) -> None:
    """More newer files than are ever looked through."""
    now = sftp.clock.now() + timedelta(seconds=1)
    document = await sftp.database["files"].find_one({"_id": model.id})
    assert document is not None
    others = [
        document | {"_id": fresh_id(now, os.urandom), "source": "api", "name": "other.csv"}
        for _ in range(SCANNED_MAX + 1)
    ]
    await sftp.database["files"].insert_many(others)
