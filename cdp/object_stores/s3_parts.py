"""One object on its way to S3 in parts, of which there are never more than two in memory.

Source: S3 user guide, "Uploading and copying objects using multipart upload" and its limits.
"""

import asyncio
import base64
import hashlib
import io
import logging
from collections.abc import Mapping
from typing import Any, Final

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


async def md5_of(block: bytes) -> str:
    """What the server compares the bytes with that it gets."""
    digest = await in_thread(lambda: hashlib.md5(block, usedforsecurity=False).digest())
    return base64.b64encode(digest).decode()


class Parts:
    """A multipart upload: `begin`, `send` for each part, then `complete` or `abandon`."""

    def __init__(self, client: AwsClient, at: Mapping[str, str]) -> None:
        """An upload that has not begun.

        Args:
            client: of S3.
            at: the bucket and the key, by botocore's names.
        """
        self._client = client
        self._at = at
        self._beginning: asyncio.Task[Any] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._upload_id = ""
        self._sent: list[dict[str, Any]] = []

    async def begin(self) -> None:
        """Let S3 know that parts will come."""
        at = self._at
        call = self._client.call(lambda client: client.create_multipart_upload(**at))
        # Shielded: who is cancelled meanwhile could not abort an upload whose id it does not know.
        self._beginning = asyncio.ensure_future(call)
        answer = await asyncio.shield(self._beginning)
        self._upload_id = str(answer["UploadId"])

    async def send(self, block: bytes) -> None:
        """Send a part, as soon as the one before it is there. It is under way on return."""
        await self._end_of_sending()
        self._sending = asyncio.ensure_future(self._send(block))

    async def _send(self, block: bytes) -> None:
        where = {**self._at, "UploadId": self._upload_id, "PartNumber": len(self._sent) + 1}
        md5 = await md5_of(block)
        answer = await self._client.call(
            lambda client: client.upload_part(**where, Body=io.BytesIO(block), ContentMD5=md5)
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

    async def abandon(self) -> None:
        """Let S3 forget the parts. What can't be done now is done by `remove_leftovers`."""
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
