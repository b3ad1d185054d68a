"""Objects in a bucket of Amazon S3, or of what speaks S3: MinIO, Ceph and others.

The service must take ranges, `If-Match` and multipart uploads, list in the order of the keys, and
show an object at once when it was put; S3 does since 2020. (Its directory buckets do not: they list
without order.)
"""

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import aclosing
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from cdp.object_stores.aws_client import CUT, AwsAccount, AwsClient, Refused
from cdp.object_stores.blocks import gathered
from cdp.object_stores.s3_parts import PART_BYTES_MIN, Parts, abort, part_bytes, send_block
from cdp.ports.clock import Clock
from cdp.ports.object_store import (
    CHUNK_BYTES,
    KEY_FORM,
    KEY_MAX,
    LEFTOVER_AGE,
    ObjectMissing,
    SignedUrl,
    StoredObject,
    StoreUnavailable,
    checked_key,
    checked_prefix,
    checked_validity,
)

PART_BYTES: Final = 8 * 1024 * 1024
LISTED_MAX: Final = 1000
"""What S3 lists at once, at most."""


class S3ObjectStore:
    """See `ObjectStore`."""

    def __init__(
        self,
        account: AwsAccount,
        *,
        bucket: str,
        clock: Clock,
        prefix: str = "",
        endpoint_url: str | None = None,
        path_style: bool | None = None,
        part_bytes_min: int = PART_BYTES,
    ) -> None:
        """A store that is not connected yet.

        Args:
            account: who we are.
            bucket: it must be there.
            clock: tells when signed URLs end, and the age of leftovers.
            prefix: what all keys in the bucket begin with; a slash is set behind it.
            endpoint_url: another host than Amazon's; botocore follows it unguarded, so it is the
                operator's to name.
            path_style: whether the bucket is named in the path and not in the host. By default it
                is with an `endpoint_url`, as most others than Amazon want it.
            part_bytes_min: an object of more bytes goes in parts of so many; more where an object
                would have over 10,000 parts. Two parts are in memory for each put.
        """
        assert part_bytes_min >= PART_BYTES_MIN
        in_path = endpoint_url is not None if path_style is None else path_style
        self._client = AwsClient("s3", account, endpoint_url=endpoint_url, path_style=in_path)
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._clock = clock
        self._part_bytes_min = part_bytes_min
        self._ending: set[asyncio.Task[None]] = set()

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked_key(key)}

    async def put(self, key: str, chunks: AsyncIterable[bytes], *, size_max: int) -> StoredObject:
        """See `ObjectStore.put`. What fits into one part is one request."""
        at = self._at(key)
        block_bytes = part_bytes(self._part_bytes_min, size_max=size_max)
        blocks = gathered(chunks, block_bytes=block_bytes, size_max=size_max)
        async with aclosing(blocks):
            block, is_last = await anext(blocks)
            if is_last:
                return await self._put_whole(key, block)
            size = 0
            async with Parts(self._client, at, self._ending) as parts:
                while True:
                    size += block.getbuffer().nbytes
                    await parts.send(block)
                    if is_last:
                        break
                    block, is_last = await anext(blocks)
                return self._stored(key, size, await parts.complete())

    async def _put_whole(self, key: str, block: io.BytesIO) -> StoredObject:
        at = self._at(key)
        answer = await send_block(self._client, block, lambda s3, body: s3.put_object(**at, **body))
        return self._stored(key, block.getbuffer().nbytes, answer)

    def _stored(self, key: str, size: int, answer: Any) -> StoredObject:
        # S3 says when it was in the header only, and to ask would be another request.
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        try:
            stored_at = parsedate_to_datetime(str(headers.get("date")))
        except ValueError:
            stored_at = self._clock.now()
        return StoredObject(key=key, size=size, stored_at=stored_at)

    def read(self, key: str, *, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """See `ObjectStore.read`. Where the connection breaks, another goes on behind the last
        byte, and only with the same object: another's ETag differs.
        """
        if offset < 0:
            raise ValueError("An object has nothing before its beginning.")
        return self._read(self._at(key), offset)

    async def _read(self, at: dict[str, str], offset: int) -> AsyncGenerator[bytes, None]:
        etag: str | None = None
        failures = 0
        failed_at = offset
        while True:
            answer = await self._get(at, offset, etag)
            if answer is None:
                return
            etag = answer.get("ETag")
            end = offset + int(answer["ContentLength"])
            body = answer["Body"]
            try:
                while True:
                    try:
                        chunk = await body.read(CHUNK_BYTES)
                    except CUT as error:
                        # A few bytes more are no progress: that could go on for days.
                        failures = failures + 1 if offset - failed_at < CHUNK_BYTES else 1
                        failed_at = offset
                        if failures >= self._client.account.tries or etag is None:
                            why = f"The store broke off: {type(error).__name__}."
                            raise StoreUnavailable(why) from None
                        break
                    if not chunk:
                        return
                    yield chunk
                    offset += len(chunk)
                    if offset == end:
                        return
            finally:
                body.close()
            await self._client.pause(failures)

    async def _get(self, at: dict[str, str], offset: int, etag: str | None) -> Any:
        """The answer with the bytes from there on; None if there are none."""
        wish = dict(at)
        if offset:
            wish["Range"] = f"bytes={offset}-"
        if etag is not None:
            wish["IfMatch"] = etag
        try:
            answer = await self._client.call(lambda client: client.get_object(**wish))
        except Refused as refused:
            if refused.status == 416 and etag is None:
                return None
            # A range that is not there any more is of another object, too.
            if refused.status in (412, 416) or refused.code in ("NoSuchKey", "404"):
                raise ObjectMissing("There is no such object, or no longer.") from None
            raise
        if offset and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
            answer["Body"].close()
            raise StoreUnavailable("The store gives no part of an object, only the whole.")
        return answer

    async def look(self, key: str) -> StoredObject | None:
        """See `ObjectStore.look`."""
        at = self._at(key)
        try:
            answer = await self._client.call(lambda client: client.head_object(**at))
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return StoredObject(
            key=key, size=int(answer["ContentLength"]), stored_at=answer["LastModified"]
        )

    async def page(self, prefix: str, *, after: str | None, limit: int) -> list[StoredObject]:
        """See `ObjectStore.page`."""
        assert limit > 0
        wish: dict[str, Any] = {"Bucket": self._bucket}
        wish["Prefix"] = self._prefix + checked_prefix(prefix)
        if after is not None:
            wish["StartAfter"] = self._prefix + checked_key(after)
        found: list[StoredObject] = []
        while len(found) < limit:
            wish["MaxKeys"] = min(limit - len(found), LISTED_MAX)
            answer = await self._client.call(lambda client: client.list_objects_v2(**wish))
            listed = answer.get("Contents", [])
            found += self._ours(listed)
            if not answer.get("IsTruncated") or not listed:
                break
            wish["StartAfter"] = str(listed[-1]["Key"])
        return found

    def _ours(self, listed: list[dict[str, Any]]) -> Iterator[StoredObject]:
        for each in listed:
            key = str(each["Key"]).removeprefix(self._prefix)
            if len(key) <= KEY_MAX and KEY_FORM.fullmatch(key):
                size, stored_at = int(each["Size"]), _moment(each["LastModified"])
                yield StoredObject(key=key, size=size, stored_at=stored_at)

    async def delete(self, key: str) -> None:
        """See `ObjectStore.delete`. A bucket with versions keeps what was there."""
        at = self._at(key)
        try:
            await self._client.call(lambda client: client.delete_object(**at))
        except Refused as refused:
            if refused.code != "NoSuchKey":
                raise

    async def upload_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        """See `ObjectStore.upload_url`. S3 takes 5 GB at once, and a URL that was signed with the
        credentials of a role ends with them, which may be sooner.
        """
        return await self._signed("put_object", self._at(key), valid_for)

    async def download_url(self, key: str, *, valid_for: timedelta) -> SignedUrl | None:
        """See `ObjectStore.download_url`. A browser saves what it gets, and never shows it."""
        wish = {**self._at(key), "ResponseContentDisposition": "attachment"}
        return await self._signed("get_object", wish, valid_for)

    async def _signed(self, name: str, wish: dict[str, str], valid_for: timedelta) -> SignedUrl:
        valid_s = checked_validity(valid_for)
        expires_at = self._clock.now() + timedelta(seconds=valid_s)
        url = await self._client.call(
            lambda client: client.generate_presigned_url(name, Params=wish, ExpiresIn=valid_s)
        )
        return SignedUrl(url=str(url), expires_at=expires_at)

    async def remove_leftovers(self, *, older_than: timedelta = LEFTOVER_AGE) -> int:
        """See `ObjectStore.remove_leftovers`: aborts multipart uploads below the prefix that began
        before then, also those that still go on. A lifecycle rule of the bucket does the same.
        """
        before = self._clock.now() - older_than
        wish: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix}
        count = 0
        while True:
            answer = await self._client.call(lambda client: client.list_multipart_uploads(**wish))
            for each in answer.get("Uploads", []):
                if _moment(each["Initiated"]) < before:
                    at = {"Bucket": self._bucket, "Key": str(each["Key"])}
                    await abort(self._client, at, str(each["UploadId"]))
                    count += 1
            if not answer.get("IsTruncated"):
                return count
            wish["KeyMarker"] = answer["NextKeyMarker"]
            wish["UploadIdMarker"] = answer["NextUploadIdMarker"]

    async def close(self) -> None:
        """See `ObjectStore.close`. It waits for uploads that are being aborted."""
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._client.close()


def _moment(told: Any) -> datetime:
    assert isinstance(told, datetime)
    return told
