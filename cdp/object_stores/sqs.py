"""New objects of a bucket as S3 tells of them through a queue of SQS.

A notification is deleted when all that it tells of is done, and not before: one whose taker dies is
there again when its visibility timeout is over. Several processes may ask one queue.
"""

import logging
import math
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from cdp.object_stores.aws_client import AwsAccount, AwsClient
from cdp.object_stores.s3_events import Created, NotOfS3, created_in
from cdp.ports.arrivals import Arrival
from cdp.ports.object_store import KEY_FORM, KEY_MAX, checked_prefix
from cdp.telemetry import Telemetry

AT_ONCE_MAX: Final = 10
"""Messages in one call of SQS."""
WAIT_MAX_S: Final = 20.0
"""How long SQS waits for a message, at most."""
SHARED_MAX: Final = 1000
"""Messages that tell of several objects, which are known at once."""
SHARED: Final = "shared "
"""Stands before the receipts of those; no handle of SQS has a space."""

log = logging.getLogger(__name__)


class SqsArrivals:
    """See `Arrivals`."""

    def __init__(
        self,
        account: AwsAccount,
        *,
        queue_url: str,
        bucket: str,
        bucket_prefix: str,
        prefix: str,
        telemetry: Telemetry,
        again_after_s: int = 300,
        malformed_max: int = 3,
    ) -> None:
        """A watch that is not connected yet.

        Args:
            account: who we are.
            queue_url: the queue; its host is the one that is asked.
            bucket: whose objects; what tells of another's counts as malformed.
            bucket_prefix: what all keys in the bucket begin with, as the store has it.
            prefix: what the keys begin with behind that.
            telemetry: counts notifications.
            again_after_s: the visibility timeout, in seconds: for so long a taker has an arrival
                for itself. It holds from `next`, whatever the queue's own is.
            malformed_max: as often a message is received that can't be read, then deleted. A queue
                with a dead-letter queue that takes it earlier keeps it.
        """
        host = urlsplit(queue_url)
        if host.scheme not in ("http", "https") or not host.netloc:
            raise ValueError("This is no URL of a queue.")
        endpoint_url = f"{host.scheme}://{host.netloc}"
        self._client = AwsClient("sqs", account, endpoint_url=endpoint_url, path_style=False)
        self._queue_url = queue_url
        self._bucket = bucket
        self._bucket_prefix = f"{bucket_prefix.strip('/')}/" if bucket_prefix.strip("/") else ""
        self._prefix = checked_prefix(prefix)
        self._telemetry = telemetry
        self._again_after_s = again_after_s
        self._malformed_max = malformed_max
        self._ready: deque[Arrival] = deque()
        self._shared: dict[str, set[str]] = {}

    async def next(self, *, limit: int, wait_s: float) -> list[Arrival]:
        """See `Arrivals.next`. It waits for 20 s at most, and tells of ten messages at most."""
        assert limit > 0
        if not self._ready:
            # Not as long as the connection may be silent, which would look like a broken one.
            longest_s = int(min(WAIT_MAX_S, self._client.account.timeout_s / 2))
            answer = await self._client.call(
                lambda client: client.receive_message(
                    QueueUrl=self._queue_url,
                    MaxNumberOfMessages=min(limit, AT_ONCE_MAX),
                    # Whole seconds only: none would let who asks in a loop ask without a pause.
                    WaitTimeSeconds=min(longest_s, math.ceil(wait_s)),
                    VisibilityTimeout=self._again_after_s,
                    MessageSystemAttributeNames=["ApproximateReceiveCount"],
                )
            )
            finished = [h for m in answer.get("Messages", []) if (h := self._take(m)) is not None]
            await self._delete(finished)
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    def _take(self, message: dict[str, Any]) -> str | None:
        """Make ready what a message tells of; its handle if it is to be deleted now."""
        handle = str(message["ReceiptHandle"])
        try:
            created = created_in(str(message["Body"]))
            if any(each.bucket != self._bucket for each in created):
                raise NotOfS3("bucket")
        except NotOfS3 as error:
            received = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
            log.warning(
                "A notification can't be read",
                extra={
                    "notification": message.get("MessageId"),
                    "why": str(error),
                    "times": received,
                },
            )
            self._count("malformed")
            return handle if received >= self._malformed_max else None
        keys = {key for each in created if (key := self._ours(each)) is not None}
        if not keys:
            return handle
        receipt = handle
        if len(keys) > 1:
            receipt = SHARED + handle
            if len(self._shared) >= SHARED_MAX:
                del self._shared[next(iter(self._shared))]
            self._shared[receipt] = set(keys)
        self._ready.extend(Arrival(key=key, receipt=receipt) for key in sorted(keys))
        return None

    def _ours(self, created: Created) -> str | None:
        """The key of an object that is to be told."""
        key = created.key.removeprefix(self._bucket_prefix)
        if not created.key.startswith(self._bucket_prefix) or not key.startswith(self._prefix):
            self._count("other")
            return None
        if len(key) > KEY_MAX or not KEY_FORM.fullmatch(key):
            # Somebody has put it there past us. Its name is not logged: it may be a person's.
            log.warning("An object has come whose name is no key")
            self._count("no_key")
            return None
        self._count("arrival")
        return key

    def _count(self, taken: str) -> None:
        self._telemetry.count("cdp_notifications", taken=taken)

    async def done(self, arrivals: Sequence[Arrival]) -> None:
        """See `Arrivals.done`."""
        finished: dict[str, None] = {}
        for arrival in arrivals:
            receipt = arrival.receipt
            if receipt.startswith(SHARED):
                left = self._shared.get(receipt)
                if left is None:
                    # Forgotten, so that it is not known what else it tells of: it comes again.
                    continue
                left.discard(arrival.key)
                if left:
                    continue
                del self._shared[receipt]
            finished[receipt.removeprefix(SHARED)] = None
        await self._delete(list(finished))

    async def _delete(self, handles: list[str]) -> None:
        for first in range(0, len(handles), AT_ONCE_MAX):
            entries = [
                {"Id": str(n), "ReceiptHandle": handle}
                for n, handle in enumerate(handles[first : first + AT_ONCE_MAX])
            ]
            wish = {"QueueUrl": self._queue_url, "Entries": entries}
            answer = await self._client.call(partial(_delete_batch, wish=wish))
            if answer.get("Failed"):
                # Such as a handle that is too old: the message comes again.
                log.warning("Notifications could not be deleted")

    async def close(self) -> None:
        """See `Arrivals.close`."""
        await self._client.close()


def _delete_batch(client: Any, wish: dict[str, Any]) -> Any:
    return client.delete_message_batch(**wish)
