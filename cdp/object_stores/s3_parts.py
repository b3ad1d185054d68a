"""One object on its way to S3 in parts, of which there are never more than two in memory.

Source: S3 user guide, "Uploading and copying objects using multipart upload" and its limits.
"""

import asyncio
import base64
import hashlib
import io
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Self

from cdp.object_stores.aws_client import AwsClient, Refused
from cdp.object_stores.threads import in_thread
from cdp.ports.object_store import StoreUnavailable

PARTS_MAX: Final = 10_000
PART_BYTES_MIN: Final = 5 * 1024 * 1024
"""All parts but the last have so many bytes at least."""

log = logging.getLogger(__name__)


def part_bytes(wished: int, *, size_max: int) -> int:
    """How large parts are, so that the largest object that may come has not too many."""
    return max(wished, -(-size_max // PARTS_MAX))


async def send_block(
    client: AwsClient,
    block: io.BytesIO,
    send: Callable[[Any, dict[str, Any]], Awaitable[Any]],
) -> Any:
    """What S3 answers to a request with this body, whose MD5 it checks.

    The block itself is the body: from bytes, or from another BytesIO, aiohttp makes one more copy.
    """
    digest = await in_thread(lambda: hashlib.md5(block.getbuffer(), usedforsecurity=False).digest())
    md5 = base64.b64encode(digest).decode()

    def attempt(s3: Any) -> Awaitable[Any]:
        # A try before this one has read some of it.
        block.seek(0)
        return send(s3, {"Body": block, "ContentMD5": md5})

    return await client.call(attempt)


class Parts:
    """A multipart upload, as a context: `send` for each part, then `complete`. Left by an error or
    a cancellation it lets S3 forget the parts.
    """

    def __init__(
        self, client: AwsClient, at: Mapping[str, str], ending: set[asyncio.Task[None]]
    ) -> None:
        """An upload that has not begun.

        Args:
            client: of S3.
            at: the bucket and the key, by botocore's names.
            ending: gets what goes on after somebody was cancelled twice, while it does.
        """
        self._client = client
        self._at = at
        self._ending = ending
        self._beginning: asyncio.Task[Any] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._upload_id = ""
        self._sent: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # A task of its own, since this one may be cancelled again meanwhile.
            ending = asyncio.ensure_future(self._abandon())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)

    async def send(self, block: io.BytesIO) -> None:
        """Send a part, as soon as the one before it is there. It is under way on return."""
        if self._beginning is None:
            call = self._client.call(lambda s3: s3.create_multipart_upload(**self._at))
            self._beginning = asyncio.ensure_future(call)
            # Shielded: nobody could abort an upload whose id is not known.
            self._upload_id = str((await asyncio.shield(self._beginning))["UploadId"])
        await self._end_of_sending()
        self._sending = asyncio.ensure_future(self._send(block))

    async def _send(self, block: io.BytesIO) -> None:
        where = {**self._at, "UploadId": self._upload_id, "PartNumber": len(self._sent) + 1}
        answer = await send_block(
            self._client, block, lambda s3, body: s3.upload_part(**where, **body)
        )
        self._sent.append({"PartNumber": where["PartNumber"], "ETag": answer["ETag"]})

    async def _end_of_sending(self) -> None:
        if self._sending is not None:
            await self._sending
            self._sending = None

    async def complete(self) -> Any:
        """Make the parts one object; what S3 answers.

        Raises:
            StoreUnavailable: also where an answer was lost and S3 no longer knows the upload.
        """
        await self._end_of_sending()
        where = {**self._at, "UploadId": self._upload_id, "MultipartUpload": {"Parts": self._sent}}
        return await self._client.call(lambda client: client.complete_multipart_upload(**where))

    async def _abandon(self) -> None:
        """What can't be done now is done by `remove_leftovers`."""
        if self._sending is not None:
            # First, since a part that arrives after the abort would be kept.
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if self._beginning is None:
            return
        try:
            upload_id = str((await self._beginning)["UploadId"])
            await abort(self._client, self._at, upload_id)
        except StoreUnavailable:
            log.warning("An upload that failed could not be aborted")


async def abort(client: AwsClient, at: Mapping[str, str], upload_id: str) -> None:
    """Let S3 forget an upload, if it knows it.

    Raises:
        StoreUnavailable: it can't now.
    """
    where = {**at, "UploadId": upload_id}
    try:
        await client.call(lambda s3: s3.abort_multipart_upload(**where))
    except Refused as refused:
        if refused.status != 404:
            raise
