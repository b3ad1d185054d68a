"""Where others put files: a folder, a bucket that is listed, and one that notifies."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cdp.domain.client import Client
from cdp.domain.file_arrival import ARRIVALS
from cdp.domain.ids import text_of
from cdp.domain.request_file import FileSource, FileState, RequestFile
from cdp.ports.object_store import ObjectStore
from cdp.services.file_arrivals_service import FileArrivalsService
from cdp.services.file_receiving_service import FileReceivingService
from cdp.services.file_service import NewFile
from cdp.wiring import Wiring
from tests.conformance.object_store_rigs import KEY, REGION, SECRET, MovedClock, raw_client
from tests.integration.rules.rig import Rig

PEOPLE = b"email,channel,template\r\nada@example.org,email,hello\r\n"
OPTIONS = {"channel": "email", "template": "hello"}
AN_HOUR_S = 3_600


class MovedOn(MovedClock):
    """The machine's clocks, both moved on."""

    def monotonic(self) -> float:
        return super().monotonic() + self.moved.total_seconds()


@dataclass(kw_only=True)
class Place:
    """Where files come to, and the platform's processes beside it."""

    rig: Rig
    settings: dict[str, Any]
    drop: Callable[[str, bytes], None]
    """Puts an object under a key, as others do."""
    clock: MovedOn = field(default_factory=MovedOn)

    def process(self, component: str = "supervisor") -> Wiring:
        """A process of the platform."""
        return self.rig.process(component, clock=self.clock, **self.settings)


@asynccontextmanager
async def folder(rig: Rig, root: Path) -> AsyncIterator[Place]:
    """Drops are files that were there for an hour."""

    def drop(key: str, content: bytes) -> None:
        *folders, name = key.split("/")
        at = root.joinpath("objects", *(f"{each}+" for each in folders))
        at.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(content)
        before_s = MovedOn().now().timestamp() - AN_HOUR_S
        os.utime(at / name, (before_s, before_s))

    yield Place(rig=rig, settings={"state_dir": root}, drop=drop)


@asynccontextmanager
async def bucket(rig: Rig, url: str, *, is_notified: bool) -> AsyncIterator[Place]:
    """Drops are objects of a bucket of moto's."""
    name, raw = f"bucket-{uuid.uuid4()}", raw_client("s3", url)
    raw.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    settings = {
        "object_store": "s3", "s3_bucket": name, "s3_prefix": "cdp", "s3_region": REGION,
        "s3_endpoint_url": url, "s3_access_key_id": KEY, "s3_secret_access_key": SecretStr(SECRET),
    }  # fmt: skip
    if is_notified:
        sqs = raw_client("sqs", url)
        queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
        wish = {"QueueUrl": queue_url, "AttributeNames": ["QueueArn"]}
        arn = sqs.get_queue_attributes(**wish)["Attributes"]["QueueArn"]
        notified = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
        raw.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"QueueConfigurations": [notified]}
        )
        settings["s3_queue_url"] = queue_url

    def drop(key: str, content: bytes) -> None:
        raw.put_object(Bucket=name, Key=f"cdp/{key}", Body=content)

    yield Place(rig=rig, settings=settings, drop=drop)


async def shop(place: Place, wiring: Wiring) -> Client:
    """A client with a template."""
    client = await place.rig.client(wiring)
    await place.rig.template(wiring, client.id, "hello", subject="Hi", text="Hello")
    return client


async def awaited(wiring: Wiring, client: Client, **fields: Any) -> tuple[RequestFile, str]:
    """A file that is awaited, and the key that its URL leads to."""
    new = NewFile(name="people.csv", source=FileSource.API, options=OPTIONS, **fields)
    file = (await wiring.file_upload_service().begin(client.id, new)).file
    assert file.incoming is not None
    return file, file.incoming.key


def drop_key(client: Client, name: str = "people.csv") -> str:
    """Where a data team drops a file for this client."""
    return f"{ARRIVALS}{text_of(client.id)}/{name}"


async def noted(service: FileArrivalsService, *, count: int = 1) -> None:
    """Let what has come be noted: so many objects are told of."""
    async with asyncio.timeout(20):
        while count > 0:
            count -= await service.step(wait_s=1)


async def received(service: FileReceivingService) -> None:
    """Let all that has come be taken in."""
    while await service.step():
        pass


async def files_of(wiring: Wiring, client: Client) -> list[RequestFile]:
    """A client's files, the oldest first."""
    page = await wiring.file_service().page(client.id, state=None, before=None, limit=100)
    return page[::-1]


async def only_file_of(wiring: Wiring, client: Client) -> RequestFile:
    """The one that there is."""
    [file] = await files_of(wiring, client)
    return file


async def keys_of(store: ObjectStore, prefix: str) -> list[str]:
    """The objects that are there."""
    return [stored.key for stored in await store.page(prefix, after=None, limit=100)]


async def require_taken_in(
    wiring: Wiring, client: Client, content: bytes, *, state: FileState = FileState.WAITING
) -> RequestFile:
    """The one file that there is, which has to be this, and the only object of its client."""
    file, store = await only_file_of(wiring, client), wiring.object_store
    assert file.state is state, (file.state, file.reason)
    assert (file.size, file.digest) == (len(content), hashlib.sha256(content).digest())
    assert b"".join([chunk async for chunk in store.read(file.key)]) == content
    assert await keys_of(store, f"files/{client.id.hex()}/") == [file.key]
    return file
