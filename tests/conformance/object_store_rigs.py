"""Object stores to test with: a folder, and a bucket on moto's server, a process of its own."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3

from cdp.object_stores.aws_client import AwsAccount
from cdp.object_stores.folder import Folder, Unfinished
from cdp.object_stores.local import LocalObjectStore
from cdp.object_stores.s3 import S3ObjectStore
from cdp.ports.clock import SystemClock
from cdp.testing.object_store_conformance import ObjectStoreRig
from tests.waiting import eventually_sync

REGION = "eu-central-1"
KEY, SECRET = "AKIAEXAMPLE", "secret"
PREFIX = "platform/"
MIB = 1024 * 1024
PART_BYTES = 5 * MIB


class MovedClock(SystemClock):
    """The machine's clock, moved on."""

    def __init__(self) -> None:
        self.moved = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.moved

    def move(self, by: timedelta) -> None:
        self.moved += by


@contextmanager
def moto_server(log: Path) -> Iterator[str]:
    """moto's server, whose memory is not ours; where it is. It logs each request, and would stand
    still before a pipe that nobody reads.
    """
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("w") as output, subprocess.Popen(command, stderr=output) as server:
        try:
            address = re.compile(r"Running on (http://[\d.:]+)")
            yield eventually_sync(lambda: address.search(log.read_text()), within_s=60)[1]
        finally:
            server.kill()


def raw_client(service: str, url: str) -> Any:
    """A client past the store."""
    return boto3.client(
        service, region_name=REGION, endpoint_url=url, aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )  # fmt: skip


def account(**changes: Any) -> AwsAccount:
    fields: dict[str, Any] = {
        "region": REGION, "access_key_id": KEY, "secret_access_key": SECRET, "timeout_s": 10.0,
        "connections_max": 6, "pause_s": 0.01,
    }  # fmt: skip
    return AwsAccount(**(fields | changes))


def s3_store(
    url: str | None, bucket: str, *, clock: MovedClock | None = None, **changes: Any
) -> Any:
    return S3ObjectStore(
        account(**changes), bucket=bucket, prefix=PREFIX, endpoint_url=url,
        clock=clock or MovedClock(), part_bytes_min=PART_BYTES,
    )  # fmt: skip


@asynccontextmanager
async def s3_rig(url: str, bucket: str) -> AsyncIterator[ObjectStoreRig]:
    """An empty bucket with strangers' objects, none of which is below our prefix or is a key."""
    raw = raw_client("s3", url)
    if bucket in (each["Name"] for each in raw.list_buckets()["Buckets"]):
        for each in raw.list_objects_v2(Bucket=bucket).get("Contents", []):
            raw.delete_object(Bucket=bucket, Key=each["Key"])
    else:
        raw.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name in ("other/a", "a", f"{PREFIX}", f"{PREFIX}Upper.csv", f"{PREFIX}a b"):
        raw.put_object(Bucket=bucket, Key=name, Body=b"")
    clock = MovedClock()

    async def leftovers() -> int:
        return len(raw.list_multipart_uploads(Bucket=bucket).get("Uploads", []))

    async def leave_a_leftover() -> None:
        raw.create_multipart_upload(Bucket=bucket, Key=f"{PREFIX}a")

    store = s3_store(url, bucket, clock=clock)
    yield ObjectStoreRig(
        store=store,
        part_bytes=PART_BYTES,
        memory_max_bytes=2 * PART_BYTES + 6 * MIB,
        leftovers=leftovers,
        leave_a_leftover=leave_a_leftover,
        pass_time=clock.move,
        ages_are_true=False,
    )
    await store.close()


@asynccontextmanager
async def local_rig(root: Path) -> AsyncIterator[ObjectStoreRig]:
    """A folder that is not there yet."""
    clock = MovedClock()
    unfinished = root / ".unfinished"

    async def leftovers() -> int:
        return len(list(unfinished.iterdir())) if unfinished.exists() else 0

    async def leave_a_leftover() -> None:
        killed = Unfinished(Folder(str(root)))
        killed.begin()
        killed.write(memoryview(b"half"))

    store = LocalObjectStore(root, clock=clock)
    yield ObjectStoreRig(
        store=store,
        part_bytes=MIB,
        memory_max_bytes=5 * MIB,
        leftovers=leftovers,
        leave_a_leftover=leave_a_leftover,
        pass_time=clock.move,
    )
    await store.close()
