"""`S3ObjectStore`: broken connections, busy servers, signed URLs, and whose account counts."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from cdp.object_stores.aws_client import AwsAccount
from cdp.object_stores.s3_parts import part_bytes
from cdp.ports.object_store import ObjectMissing, StoreUnavailable
from cdp.testing.http_vendor import HttpVendor, Reply
from cdp.testing.object_store_conformance import (
    HOUR,
    KEY,
    content_of,
    error_of,
    keys_of,
    put,
    some_bytes,
)
from tests.conformance.object_store_rigs import PART_BYTES, PREFIX, account, s3_rig, s3_store

CONTENT = some_bytes(13_000_000)
BUCKET = "bucket-of-this-test"


class Cutter:
    """A proxy that breaks connections in the middle of answers."""

    def __init__(self, upstream: str) -> None:
        address = urlsplit(upstream)
        self._upstream = (address.hostname, address.port)
        self.cuts: list[int] = []
        """After how many bytes of answers the next connections are broken."""
        self.cut_always: int | None = None
        self.connections = 0
        self.url = ""
        self._serving: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Cutter"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self
            serving = list(self._serving)
            for each in serving:
                each.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._serving.add(task)
        limit = self.cuts.pop(0) if self.cuts else self.cut_always
        open_ends = [writer]
        passing = []
        try:
            their_reader, their_writer = await asyncio.open_connection(*self._upstream)
            open_ends.append(their_writer)
            # What is cut off is what comes after, and not what waits to be sent.
            writer.transport.set_write_buffer_limits(0)
            passing = [
                asyncio.ensure_future(self._pass_on(reader, their_writer, None)),
                asyncio.ensure_future(self._pass_on(their_reader, writer, limit)),
            ]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # All before the first turn of the loop, in which this may be cancelled.
            for end in open_ends:
                end.transport.abort()
            for each in passing:
                each.cancel()
            self._serving.discard(task)
            await asyncio.gather(*passing, return_exceptions=True)

    async def _pass_on(self, reader, writer, limit):
        try:
            while data := await reader.read(65_536):
                if limit is not None and limit < len(data):
                    writer.write(data[:limit])
                    await writer.drain()
                    return
                if limit is not None:
                    limit -= len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            return


@pytest.fixture
async def rig(moto_url):
    async with s3_rig(moto_url, BUCKET) as rig:
        yield rig


@pytest.fixture
async def cutter(moto_url):
    async with Cutter(moto_url).listening() as cutter:
        yield cutter


@pytest.fixture
async def cut_store(rig, cutter):
    store = s3_store(cutter.url, BUCKET)
    yield store
    await store.close()


async def test_a_read_goes_on_where_the_connection_broke(rig, cutter, cut_store):
    await put(rig.store, KEY, CONTENT)

    for cuts in ([3_000_000], [10, 900, 2_000_000, 3_000_000, 5], [1_500_000] * 7):
        cutter.cuts = list(cuts)
        before = cutter.connections
        async with aclosing(cut_store.read(KEY, offset=1000)) as chunks:
            read = b"".join([chunk async for chunk in chunks])
        assert read == CONTENT[1000:]
        assert cutter.cuts == []
        assert cutter.connections > before
        # What is kept open would not be cut.
        await cut_store.close()


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_read_never_goes_on_with_another_object(rig, cutter, cut_store, replaced):
    await put(rig.store, KEY, CONTENT)
    cutter.cuts = [3_000_000]

    async def change() -> None:
        if replaced:
            await put(rig.store, KEY, some_bytes(len(CONTENT), seed=b"new"))
        else:
            await rig.store.delete(KEY)

    read = bytearray()
    changed = await error_of(read_and_change(cut_store, read, change))

    assert isinstance(changed, ObjectMissing)
    assert 0 < len(read) < len(CONTENT)
    assert CONTENT.startswith(read)


async def read_and_change(store, read, change):
    """Read the object, and change it when its first bytes have come."""
    async with aclosing(store.read(KEY)) as chunks:
        async for chunk in chunks:
            if not read:
                await change()
            read += chunk


async def test_a_read_that_breaks_again_and_again_ends(rig, cutter, cut_store):
    await put(rig.store, KEY, CONTENT)
    # Room for the head of an answer, and for nothing of the object.
    cutter.cut_always = 900

    read = await error_of(content_of(cut_store, KEY))

    assert isinstance(read, StoreUnavailable)


async def test_a_put_whose_connections_break_is_whole_or_not_there(rig, cutter, cut_store):
    for cuts in ([1], [1, 1], [600, 1]):
        cutter.cuts = list(cuts)
        outcome = await error_of(put(cut_store, KEY, CONTENT))
        assert outcome is None or isinstance(outcome, StoreUnavailable)
        if await rig.store.look(KEY) is not None:
            assert await content_of(rig.store, KEY) == CONTENT
        assert outcome is not None or await rig.store.look(KEY) is not None
        await cut_store.close()


async def test_signed_urls_work_for_those_without_credentials(rig):
    async with httpx.AsyncClient(trust_env=False) as client:
        up = await rig.store.upload_url(KEY, valid_for=HOUR)
        assert abs(up.expires_at - datetime.now(UTC) - HOUR) < timedelta(minutes=5)
        (await client.put(up.url, content=CONTENT)).raise_for_status()
        assert await content_of(rig.store, KEY) == CONTENT

        down = await rig.store.download_url(KEY, valid_for=timedelta(seconds=90))
        got = await client.get(down.url)

    assert got.content == CONTENT
    assert "X-Amz-Expires=90" in down.url
    assert "response-content-disposition=attachment" in down.url
    for url in (up.url, down.url):
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
        assert "checksum" not in url.lower()


def xml_error(status: int, code: str) -> Reply:
    return Reply(status=status, body=f"<Error><Code>{code}</Code></Error>".encode())


ETAG = {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2026 07:28:00 GMT"}


@asynccontextmanager
async def vendor_and_store(answering, **changes):
    async with HttpVendor(answering, address_of=lambda got: got.path) as vendor:
        store = s3_store(vendor.url, "bucket", **changes)
        try:
            yield vendor, store
        finally:
            await store.close()


async def test_a_busy_server_is_asked_again_and_then_given_up():
    async with vendor_and_store(lambda _: Reply(headers=ETAG)) as (vendor, store):
        for reply in (
            xml_error(503, "SlowDown"),
            xml_error(500, "InternalError"),
            Reply(status=502),
        ):
            vendor.got.clear()
            vendor.next(*[reply] * 3)
            await put(store, KEY, b"content")
            assert len(vendor.got) == 4
            assert {got.body for got in vendor.got} == {b"content"}

            vendor.got.clear()
            vendor.next(*[reply] * 4)
            assert isinstance(await error_of(put(store, KEY, b"content")), StoreUnavailable)
            assert len(vendor.got) == 4


async def test_a_refusal_is_not_asked_again():
    async with vendor_and_store(lambda _: xml_error(403, "AccessDenied")) as (vendor, store):
        for doing in (put(store, KEY, b"x"), content_of(store, KEY), keys_of(store)):
            vendor.got.clear()
            refused = await error_of(doing)
            assert isinstance(refused, StoreUnavailable)
            assert "AccessDenied" in str(refused)
            assert len(vendor.got) == 1


async def test_parts_that_are_refused_are_forgotten_by_the_server():
    begun = (
        b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
    )

    def answering(got):
        if got.path.endswith("?uploads"):
            return Reply(body=begun)
        if "partNumber=2" in got.path:
            return xml_error(500, "InternalError")
        return Reply(headers=ETAG)

    async with vendor_and_store(answering) as (vendor, store):
        refused = await error_of(put(store, KEY, some_bytes(2 * PART_BYTES + 1), 1_000_000))

        assert isinstance(refused, StoreUnavailable)
        assert vendor.got[-1].path.endswith("?uploadId=u1")
        assert vendor.got[-1].body == b""


async def test_the_server_can_check_what_it_gets():
    async with vendor_and_store(lambda _: Reply(headers=ETAG)) as (vendor, store):
        await put(store, KEY, b"content")

    [got] = vendor.got
    assert got.path == f"/bucket/{PREFIX}{KEY}"
    assert base64.b64decode(got.headers["Content-MD5"]) == hashlib.md5(b"content").digest()


async def test_a_server_without_ranges_gives_no_wrong_bytes():
    async with vendor_and_store(lambda _: Reply(body=b"0123456789", headers=ETAG)) as (_, store):
        assert await content_of(store, KEY) == b"0123456789"
        assert isinstance(await error_of(content_of(store, KEY, offset=3)), StoreUnavailable)


async def test_uploads_are_aborted_by_their_age_page_by_page():
    def uploads(more, *found):
        listed = "".join(
            f"<Upload><Key>{PREFIX}{key}</Key><UploadId>{key}</UploadId>"
            f"<Initiated>{begun.isoformat()}</Initiated></Upload>"
            for key, begun in found
        )
        page = (
            f"<IsTruncated>{str(more).lower()}</IsTruncated><NextKeyMarker>k1</NextKeyMarker>"
            f"<NextUploadIdMarker>u1</NextUploadIdMarker>{listed}"
        )
        return Reply(
            body=f"<ListMultipartUploadsResult>{page}</ListMultipartUploadsResult>".encode()
        )

    now = datetime.now(UTC)
    old, young = now - timedelta(hours=25), now - timedelta(hours=23)

    def answering(got):
        if "uploadId=gone" in got.path:
            return xml_error(404, "NoSuchUpload")
        if "uploadId=" in got.path:
            return Reply(status=204)
        if "key-marker=k1" in got.path and "upload-id-marker=u1" in got.path:
            return uploads(False, ("c", old), ("d", young))
        return uploads(True, ("a", old), ("b", young), ("gone", old))

    async with vendor_and_store(answering) as (vendor, store):
        assert await store.remove_leftovers() == 3

    aborted = {got.path for got in vendor.got if "uploadId=" in got.path}
    assert aborted == {f"/bucket/{PREFIX}{key}?uploadId={key}" for key in ("a", "c", "gone")}


async def test_one_connection_serves_one_read_after_another():
    whole = Reply(body=CONTENT[:3_000_000], headers=ETAG)
    async with vendor_and_store(lambda _: whole) as (vendor, store):
        for _ in range(5):
            await content_of(store, KEY)

    assert vendor.connections_count == 1


async def test_a_bucket_that_is_not_there_is_no_missing_object(moto_url):
    store = s3_store(moto_url, "nobodys-bucket")
    for doing in (put(store, KEY, b"x"), content_of(store, KEY), keys_of(store)):
        assert isinstance(await error_of(doing), StoreUnavailable)
    await store.close()
    store = s3_store(moto_url, "no bucket")
    assert isinstance(await error_of(keys_of(store)), StoreUnavailable)
    await store.close()


async def test_a_server_that_is_not_there_is_unavailable():
    store = s3_store("http://127.0.0.1:9", "bucket")
    for doing in (put(store, KEY, b"x"), content_of(store, KEY), store.look(KEY), keys_of(store)):
        assert isinstance(await error_of(doing), StoreUnavailable)
    await store.close()


async def test_the_bucket_is_in_the_host_at_amazon_and_in_the_path_elsewhere(moto_url):
    for url, at in (
        (None, "https://shop-cdp.s3.eu-central-1.amazonaws.com/"),
        (moto_url, f"{moto_url}/shop-cdp/"),
    ):
        store = s3_store(url, "shop-cdp")
        signed = await store.upload_url(KEY, valid_for=HOUR)
        assert signed.url.startswith(f"{at}{PREFIX}{KEY}?")
        await store.close()


async def test_with_a_key_the_environment_counts_for_nothing(monkeypatch):
    async with vendor_and_store(lambda _: Reply(headers=ETAG)) as (vendor, store):
        monkeypatch.setenv("AWS_PROFILE", "nobodys")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        await put(store, KEY, b"x")

    assert "Credential=AKIAEXAMPLE/" in vendor.got[0].headers["Authorization"]


async def test_without_a_key_the_chain_of_amazon_finds_one(monkeypatch):
    nobody = {"access_key_id": None, "secret_access_key": None}
    async with vendor_and_store(lambda _: Reply(headers=ETAG), **nobody) as (vendor, store):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEMACHINE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        await put(store, KEY, b"x")

    assert "Credential=AKIAOFTHEMACHINE/" in vendor.got[0].headers["Authorization"]


async def test_a_key_is_whole_and_not_told():
    with pytest.raises(ValueError, match="both or none"):
        AwsAccount(region="eu-central-1", access_key_id="AKIA")
    assert "secret" not in repr(account()).replace("secret_access_key", "")


@pytest.mark.parametrize(("size_max", "parts"), [(1, 8), (80_000, 8), (800_000, 80)])
def test_no_object_has_too_many_parts(size_max, parts):
    assert part_bytes(8, size_max=size_max) == parts
