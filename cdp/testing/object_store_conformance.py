"""What every object store must do, as a suite that an adapter's own tests take over.

    class TestAcmeStore(ObjectStoreConformance):
        @pytest.fixture
        async def rig(self):
            async with acme_rig() as rig:
                yield rig

Tests need pytest-asyncio in its `auto` mode.
"""

# A test's name is its docstring.
# ruff: noqa: D102

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cdp.ports.object_store import (
    CHUNK_BYTES,
    KEY_MAX,
    URL_VALID_MAX,
    ObjectMissing,
    ObjectStore,
    ObjectTooLarge,
    StoredObject,
)

KEY: Final = "imports/2026/file.csv"
SIZE_MAX: Final = 100_000_000
HOUR: Final = timedelta(hours=1)
BAD_KEYS: Final = (
    "", ".", "..", "../x", "a/../x", "/x", "x/", "x//y", "x\0y", "Upper", "a b", "a+b", "a%2fb",
    ".hidden", "a/.hidden", "a\\b", "ä", "a\n", "x" * 600, "x" * 201, "a/" * 300 + "a",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStoreRig:
    """An empty store, and what a test must do to it past the port."""

    store: ObjectStore
    part_bytes: int
    """How much it stores in one step."""
    memory_max_bytes: int
    """What one put or read may hold, however large the object."""
    leftovers: Callable[[], Awaitable[int]]
    """How many puts have begun and neither ended nor been taken away."""
    leave_a_leftover: Callable[[], Awaitable[None]]
    """Begin a put as if its process were killed then."""
    pass_time: Callable[[timedelta], None]
    """Let the store's clock go on."""
    ages_are_true: bool = True
    """Whether the server tells when a put began. moto says 2010 of all."""


def some_bytes(size: int, *, seed: bytes = b"") -> bytes:
    """Bytes that differ everywhere, the same for the same seed."""
    return hashlib.shake_128(seed).digest(size)


async def chunked(content: bytes, *sizes: int) -> AsyncIterator[bytes]:
    """The content in chunks of these sizes, over and over."""
    at = 0
    while at < len(content):
        for size in sizes or (len(content),):
            yield content[at : at + size]
            at += size


async def put(
    store: ObjectStore, key: str, content: bytes, *sizes: int, size_max: int = SIZE_MAX
) -> StoredObject:
    """Put this content, in chunks of these sizes."""
    return await store.put(key, chunked(content, *sizes), size_max=size_max)


async def content_of(store: ObjectStore, key: str, *, offset: int = 0) -> bytes:
    """All bytes of an object from there on."""
    async with aclosing(store.read(key, offset=offset)) as chunks:
        read = [chunk async for chunk in chunks]
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in read)
    return b"".join(read)


async def keys_of(store: ObjectStore, prefix: str = "", *, limit: int = 1000) -> list[str]:
    """All keys that begin so, by pages of `limit`."""
    keys: list[str] = []
    while True:
        page = await store.page(prefix, after=keys[-1] if keys else None, limit=limit)
        keys += [stored.key for stored in page]
        if len(page) < limit:
            return keys


async def error_of(doing: Awaitable[object]) -> BaseException | None:
    """What is raised, also if it is a cancellation."""
    [outcome] = await asyncio.gather(doing, return_exceptions=True)
    return outcome if isinstance(outcome, BaseException) else None


class SourceBroke(Exception):
    """What a source of the tests raises."""


class ObjectStoreConformance:
    """The suite. A subclass brings the fixture `rig`."""

    async def test_what_was_put_is_read(self, rig: ObjectStoreRig) -> None:
        part = rig.part_bytes
        for size in (0, 1, 4095, CHUNK_BYTES, part - 1, part, part + 1, 2 * part, 20_000_000):
            content = some_bytes(size)

            stored = await put(rig.store, KEY, content, 70_001, 1, 333_333)

            assert (stored.key, stored.size) == (KEY, size)
            assert await content_of(rig.store, KEY) == content, size
            found = await rig.store.look(KEY)
            assert found is not None
            assert found.size == size
            assert abs(found.stored_at - stored.stored_at) < HOUR
        assert await rig.leftovers() == 0

    async def test_one_chunk_larger_than_all_steps_is_stored(self, rig: ObjectStoreRig) -> None:
        content = some_bytes(2 * rig.part_bytes + 3)

        await put(rig.store, KEY, content)

        assert await content_of(rig.store, KEY) == content

    async def test_a_put_replaces_what_was_there(self, rig: ObjectStoreRig) -> None:
        await put(rig.store, KEY, b"x" * 5000)
        await put(rig.store, KEY, b"new")

        assert await content_of(rig.store, KEY) == b"new"
        assert await keys_of(rig.store) == [KEY]

    async def test_what_is_not_there_is_missing(self, rig: ObjectStoreRig) -> None:
        await put(rig.store, "a", b"a")
        for key in (KEY, "a/b", "b"):
            assert await rig.store.look(key) is None
            assert isinstance(await error_of(content_of(rig.store, key)), ObjectMissing)
            assert isinstance(await error_of(content_of(rig.store, key, offset=5)), ObjectMissing)
            await rig.store.delete(key)

        assert await keys_of(rig.store) == ["a"]

    async def test_reading_begins_where_it_shall(self, rig: ObjectStoreRig) -> None:
        content = some_bytes(3 * CHUNK_BYTES + 7)
        await put(rig.store, KEY, content)

        for offset in (1, 1000, CHUNK_BYTES, len(content) - 1, len(content), len(content) + 9):
            assert await content_of(rig.store, KEY, offset=offset) == content[offset:], offset

    async def test_nothing_is_before_the_beginning(self, rig: ObjectStoreRig) -> None:
        await put(rig.store, KEY, b"x")

        assert isinstance(await error_of(_reading(rig.store, KEY, offset=-1)), ValueError)

    async def test_a_source_that_raises_leaves_nothing(self, rig: ObjectStoreRig) -> None:
        async def breaks_after(size: int) -> AsyncIterator[bytes]:
            yield some_bytes(size)
            raise SourceBroke

        for size in (0, 5, 2 * rig.part_bytes + 5):
            put_broken = rig.store.put(KEY, breaks_after(size), size_max=SIZE_MAX)
            assert isinstance(await error_of(put_broken), SourceBroke)
            assert await rig.store.look(KEY) is None
            assert await keys_of(rig.store) == []
            assert await rig.leftovers() == 0

    async def test_a_put_that_is_cancelled_leaves_nothing(self, rig: ObjectStoreRig) -> None:
        for size in (5, rig.part_bytes + 5, 2 * rig.part_bytes + 5):
            waits = asyncio.Event()

            async def stops(size: int, waits: asyncio.Event) -> AsyncIterator[bytes]:
                yield some_bytes(size)
                waits.set()
                await asyncio.Event().wait()

            putting = asyncio.ensure_future(
                rig.store.put(KEY, stops(size, waits), size_max=SIZE_MAX)
            )
            await waits.wait()
            putting.cancel()

            assert isinstance(await error_of(putting), asyncio.CancelledError)
            assert await rig.store.look(KEY) is None
            assert await rig.leftovers() == 0

    async def test_a_put_that_is_cancelled_anywhere_stores_all_or_nothing(
        self, rig: ObjectStoreRig
    ) -> None:
        content = some_bytes(2 * rig.part_bytes)
        for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34):
            putting = asyncio.ensure_future(put(rig.store, KEY, content))
            for _ in range(turns):
                await asyncio.sleep(0)
            putting.cancel()
            await error_of(putting)

            if await rig.store.look(KEY) is not None:
                assert await content_of(rig.store, KEY) == content
            assert await rig.leftovers() == 0

    async def test_a_put_that_is_cancelled_twice_is_cleared_away_at_the_close(
        self, rig: ObjectStoreRig
    ) -> None:
        content = some_bytes(2 * rig.part_bytes)
        for turns in (3, 8, 21, 55):
            putting = asyncio.ensure_future(put(rig.store, KEY, content))
            for _ in range(turns):
                await asyncio.sleep(0)
            for _ in range(3):
                putting.cancel()
                await asyncio.sleep(0)
            await error_of(putting)
            await rig.store.close()

            assert await rig.leftovers() == 0

    async def test_more_than_may_come_is_refused_and_leaves_what_was(
        self, rig: ObjectStoreRig
    ) -> None:
        await put(rig.store, KEY, b"old")
        for size_max in (0, 10, 2 * rig.part_bytes):
            content = some_bytes(size_max + 1)
            refused = put(rig.store, KEY, content, 65_536, size_max=size_max)

            assert isinstance(await error_of(refused), ObjectTooLarge)
            assert await content_of(rig.store, KEY) == b"old"
            assert await rig.leftovers() == 0
        await put(rig.store, KEY, b"0123456789", size_max=10)

    async def test_objects_are_listed_in_order_by_pages(self, rig: ObjectStoreRig) -> None:
        keys = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "a_b", "ab", "b", "b/1", "b/10", "b/2"]
        for key in reversed(keys):
            await put(rig.store, key, b"x")

        assert keys == sorted(keys)
        for limit in (1, 2, 5, 12, 1000):
            assert await keys_of(rig.store, limit=limit) == keys
        for prefix in ("a", "a/", "a/b", "a/b/", "b/1", "b/3", "c", "a-"):
            expected = [key for key in keys if key.startswith(prefix)]
            for limit in (1, 3, 1000):
                assert await keys_of(rig.store, prefix, limit=limit) == expected, prefix
        # What a page comes after need not be there, nor begin as the page does.
        [stored] = await rig.store.page("b/", after="a/x/y", limit=1)
        assert (stored.key, stored.size) == ("b/1", 1)
        assert [s.key for s in await rig.store.page("", after="a/b/0", limit=1)] == ["a/b/c"]

    async def test_deleted_objects_are_gone(self, rig: ObjectStoreRig) -> None:
        for key in ("a/b/c", "a/d", "a"):
            await put(rig.store, key, b"x")
        for key in ("a/b/c", "a", "a"):
            await rig.store.delete(key)

        assert await keys_of(rig.store) == ["a/d"]
        await put(rig.store, "a/b/c", b"again")
        assert await keys_of(rig.store) == ["a/b/c", "a/d"]

    async def test_concurrent_puts_of_one_key_leave_one_whole_object(
        self, rig: ObjectStoreRig
    ) -> None:
        contents = [some_bytes(rig.part_bytes + 10, seed=bytes([n])) for n in range(4)]

        await asyncio.gather(*(put(rig.store, KEY, each, 100_003) for each in contents))

        assert await content_of(rig.store, KEY) in contents
        assert await keys_of(rig.store) == [KEY]
        assert await rig.leftovers() == 0

    async def test_puts_and_deletes_of_neighbours_do_not_meet(self, rig: ObjectStoreRig) -> None:
        async def put_and_delete(n: int) -> None:
            for _ in range(10):
                await put(rig.store, f"a/b/{n}", b"x")
                await rig.store.delete(f"a/b/{n}")

        await asyncio.gather(*(put_and_delete(n) for n in range(6)))

        assert await keys_of(rig.store) == []

    async def test_what_is_no_key_is_refused(self, rig: ObjectStoreRig) -> None:
        store = rig.store
        for key in BAD_KEYS:
            for doing in (
                put(store, key, b"x"),
                _reading(store, key),
                store.look(key),
                store.delete(key),
                store.page("", after=key, limit=1),
                store.upload_url(key, valid_for=HOUR),
                store.download_url(key, valid_for=HOUR),
            ):
                assert isinstance(await error_of(doing), ValueError), key
        for prefix in ("../", "/", "a//", ".", "A", "a\0"):
            page = store.page(prefix, after=None, limit=1)
            assert isinstance(await error_of(page), ValueError), prefix

    async def test_the_longest_key_is_one(self, rig: ObjectStoreRig) -> None:
        deep = "a/" * ((KEY_MAX - 1) // 2) + "b"
        keys = [deep, "/".join(("c" * 200, "d" * 200, "e" * 110))]
        for key in keys:
            await put(rig.store, key, b"x")

        assert await keys_of(rig.store) == keys

    async def test_a_reader_gets_one_object_while_it_changes(self, rig: ObjectStoreRig) -> None:
        old, new = (some_bytes(8_000_000, seed=seed) for seed in (b"old", b"new"))

        async def replace() -> None:
            await put(rig.store, KEY, new)

        for change in (replace, lambda: rig.store.delete(KEY)):
            await put(rig.store, KEY, old)
            read = b""
            try:
                async with aclosing(rig.store.read(KEY)) as chunks:
                    async for chunk in chunks:
                        if not read:
                            await change()
                        read += chunk
            except ObjectMissing:
                assert old.startswith(read)
            else:
                assert read == old

    async def test_a_reader_may_stop_early(self, rig: ObjectStoreRig) -> None:
        await put(rig.store, KEY, some_bytes(8_000_000))
        for _ in range(30):
            async with aclosing(rig.store.read(KEY)) as chunks:
                await anext(chunks)

        assert len(await content_of(rig.store, KEY)) == 8_000_000

    async def test_memory_does_not_grow_with_the_object(self, rig: ObjectStoreRig) -> None:
        chunk = some_bytes(65_536)

        async def endless(count: int) -> AsyncIterator[bytes]:
            for _ in range(count):
                yield chunk

        # Once before, so that what is loaded at the first time does not count.
        await rig.store.put(KEY, endless(1), size_max=SIZE_MAX)
        await content_of(rig.store, KEY)
        with _peak_of_memory() as peak:
            await rig.store.put(KEY, endless(1024), size_max=SIZE_MAX)
            size = 0
            async with aclosing(rig.store.read(KEY)) as chunks:
                async for read in chunks:
                    size += len(read)

        assert size == 64 * CHUNK_BYTES
        assert peak[0] < rig.memory_max_bytes

    async def test_only_old_leftovers_are_taken_away(self, rig: ObjectStoreRig) -> None:
        await put(rig.store, KEY, b"x")
        assert await rig.store.remove_leftovers() == 0
        await rig.leave_a_leftover()
        assert await keys_of(rig.store) == [KEY]

        if rig.ages_are_true:
            rig.pass_time(timedelta(hours=23))
            assert await rig.store.remove_leftovers() == 0
        rig.pass_time(timedelta(hours=2))
        assert await rig.store.remove_leftovers() == 1

        assert await rig.leftovers() == 0
        assert await content_of(rig.store, KEY) == b"x"

    async def test_signed_urls_have_an_end(self, rig: ObjectStoreRig) -> None:
        for valid_for in (timedelta(0), -HOUR, URL_VALID_MAX + timedelta(seconds=1)):
            for sign in (rig.store.upload_url, rig.store.download_url):
                assert isinstance(await error_of(sign(KEY, valid_for=valid_for)), ValueError)


@contextmanager
def _peak_of_memory() -> Iterator[list[int]]:
    """Then filled with the most that was held meanwhile, in bytes."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


async def _reading(store: ObjectStore, key: str, *, offset: int = 0) -> None:
    await anext(store.read(key, offset=offset))
