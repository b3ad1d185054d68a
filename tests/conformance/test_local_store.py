"""`LocalObjectStore`: what a folder may hold besides, links, modes, and disks that are full."""

import asyncio
import os
import resource
import shutil
import stat
import subprocess
import sys
import textwrap
from datetime import timedelta

import pytest

from cdp.object_stores.folder import SCAN_MAX
from cdp.object_stores.local import LocalObjectStore
from cdp.ports.clock import SystemClock
from cdp.ports.object_store import ObjectMissing, StoreUnavailable
from cdp.testing.object_store_conformance import content_of, error_of, keys_of, put, some_bytes
from tests.conformance.object_store_rigs import MovedClock


@pytest.fixture
def root(tmp_path):
    return tmp_path / "objects"


@pytest.fixture
def store(root):
    return LocalObjectStore(root, clock=SystemClock())


def files_below(root):
    return sorted(
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
    )


async def test_f2_no_link_leads_out_of_the_folder(store, root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    await put(store, "a/b", b"x")
    (root / "link").symlink_to(outside / "secret")
    (root / "way+").symlink_to(outside)
    (root / "a+" / "link").symlink_to(outside / "secret")

    for key in ("link", "way/secret", "a/link"):
        assert isinstance(await error_of(content_of(store, key)), ObjectMissing)
        assert await store.look(key) is None
    assert await keys_of(store) == ["a/b"]
    await store.delete("way/secret")
    assert isinstance(await error_of(put(store, "way/new", b"x")), StoreUnavailable)
    await put(store, "link", b"ours")

    assert await content_of(store, "link") == b"ours"
    assert sorted(os.listdir(outside)) == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


async def test_f2_the_folder_itself_becomes_no_link(store, root, tmp_path):
    await put(store, "a", b"x")
    root.rename(tmp_path / "moved")
    root.symlink_to(tmp_path / "moved")

    assert isinstance(await error_of(put(store, "b", b"x")), StoreUnavailable)
    assert isinstance(await error_of(keys_of(store)), StoreUnavailable)
    assert files_below(tmp_path / "moved") == ["a"]


async def test_only_the_owner_reads(store, root):
    before = os.umask(0)
    try:
        await put(store, "a/b/c", b"x")
    finally:
        os.umask(before)

    folders = (".", ".unfinished", "a+", "a+/b+")
    assert {stat.S_IMODE(os.stat(root / folder).st_mode) for folder in folders} == {0o700}
    assert stat.S_IMODE(os.stat(root / "a+/b+/c").st_mode) == 0o600


async def test_what_is_no_object_counts_as_none(store, root):
    await put(store, "a/b", b"x")
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    (root / "Upper").write_bytes(b"x")
    (root / ".hidden").write_bytes(b"x")
    (root / os.fsdecode(b"\xff")).write_bytes(b"x")

    assert await keys_of(store) == ["a/b"]
    for key in ("pipe", "folder"):
        assert isinstance(await error_of(content_of(store, key)), ObjectMissing)
        assert await store.look(key) is None


async def test_folders_that_are_empty_go_away(store, root):
    await put(store, "a/b/c", b"x")
    await put(store, "a/d", b"x")
    await store.delete("a/b/c")
    assert sorted(os.listdir(root / "a+")) == ["d"]

    await store.delete("a/d")

    assert os.listdir(root) == [".unfinished"]


async def test_more_names_than_are_held_at_once_are_listed_in_order(store, root):
    await put(store, "a", b"x")
    names = [f"{n:05}" for n in range(2 * SCAN_MAX + 5)]
    for name in names:
        (root / name).touch()

    assert await keys_of(store, limit=SCAN_MAX + 3) == [*names, "a"]
    assert await keys_of(store, "0200") == names[2000:]


async def test_a_write_that_the_system_refuses_leaves_nothing(store, root):
    await put(store, "a", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, hard))
    try:
        refused = await error_of(put(store, "a", some_bytes(5_000_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert isinstance(refused, StoreUnavailable)
    assert "EFBIG" in str(refused)
    assert files_below(root) == ["a"]
    assert await content_of(store, "a") == b"old"


FULL_DISK = """
    import asyncio, os, sys
    from pathlib import Path
    from cdp.object_stores.local import LocalObjectStore
    from cdp.ports.clock import SystemClock
    from cdp.ports.object_store import StoreUnavailable
    from cdp.testing.object_store_conformance import content_of, put

    async def main():
        store = LocalObjectStore(Path(sys.argv[1]), clock=SystemClock())
        await put(store, "a", b"old")
        for _ in range(3):
            try:
                await put(store, "a", b"x" * 3_000_000)
            except StoreUnavailable as error:
                print(error, os.listdir(sys.argv[1] + "/.unfinished"))
        await put(store, "b", b"x" * 500_000)
        print(await content_of(store, "a"))

    asyncio.run(main())
"""


def test_a_full_disk_leaves_nothing_and_takes_what_fits(tmp_path):
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode:
        pytest.skip("This system lets nobody mount a small disk.")
    mounted = f'mount -t tmpfs -o size=2m none "{tmp_path}" && exec "$@"'
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path)]

    ran = subprocess.run(
        [unshare, "-rm", "sh", "-c", mounted, "sh", *command], capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr
    full = "The folder of objects fails: ENOSPC. []"
    assert ran.stdout.splitlines() == [full, full, full, "b'old'"]


PUTS = """
    import asyncio, sys
    from pathlib import Path
    from cdp.object_stores.local import LocalObjectStore
    from cdp.ports.clock import SystemClock
    from cdp.testing.object_store_conformance import chunked

    async def main():
        store = LocalObjectStore(Path(sys.argv[1]), clock=SystemClock())
        for letter in (b"a", b"b") * 1000:
            print("puts", flush=True)
            await store.put("a/b", chunked(letter * 4_000_000, 50_000), size_max=5_000_000)

    asyncio.run(main())
"""


@pytest.mark.parametrize("puts", [1, 2, 3, 5, 8])
async def test_a_put_whose_process_is_killed_leaves_the_object_whole(root, puts):
    command = [sys.executable, "-c", textwrap.dedent(PUTS), str(root)]
    await asyncio.to_thread(kill_after, command, puts)
    clock = MovedClock()
    store = LocalObjectStore(root, clock=clock)

    if puts > 1:
        assert await content_of(store, "a/b") in (b"a" * 4_000_000, b"b" * 4_000_000)
    clock.move(timedelta(hours=25))
    await store.remove_leftovers()
    assert set(files_below(root)) <= {"a+/b"}


def kill_after(command, lines):
    with subprocess.Popen(command, stdout=subprocess.PIPE) as putting:
        assert putting.stdout is not None
        for _ in range(lines):
            putting.stdout.readline()
        putting.kill()
