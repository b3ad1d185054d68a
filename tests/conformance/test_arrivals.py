"""New objects by listing a folder, by listing a bucket, and through a queue: the same for all."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from cdp.object_stores.polling import PollingArrivals
from cdp.object_stores.sqs import SqsArrivals
from cdp.ports.arrivals import Arrival, Arrivals
from cdp.ports.clock import SystemClock
from cdp.ports.object_store import ObjectStore, StoreUnavailable
from cdp.telemetry import Telemetry
from cdp.testing.object_store_conformance import error_of, put
from tests.conformance.object_store_rigs import (
    PREFIX,
    account,
    local_rig,
    raw_client,
    s3_rig,
)


class SteppedClock(SystemClock):
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def monotonic(self) -> float:
        return self.at_s


@dataclass
class Rig:
    store: ObjectStore
    arrivals: Arrivals
    lapse: Callable[[list[Arrival]], None]
    """Lets the time go by in which a taker has these for itself."""

    async def told(self, *, limit: int = 10) -> list[Arrival]:
        """What is told now, within some calls: a queue may hold some back for a while."""
        found: list[Arrival] = []
        while more := await self.arrivals.next(limit=limit, wait_s=0):
            assert len(more) <= limit
            found += more
        return sorted(found, key=lambda arrival: arrival.key)


def keys(arrivals: list[Arrival]) -> list[str]:
    return [arrival.key for arrival in arrivals]


@asynccontextmanager
async def polling(rig):
    clock = SteppedClock()
    arrivals = PollingArrivals(rig.store, prefix="in/", clock=clock, poll_s=0.01, again_after_s=60)

    def lapse(_):
        clock.at_s += 61

    yield Rig(rig.store, arrivals, lapse)
    await arrivals.close()


class Queue:
    """A queue of moto's SQS and a watch of it."""

    def __init__(self, url: str, bucket: str, **changes: Any) -> None:
        self.raw = raw_client("sqs", url)
        self.url = self.raw.create_queue(QueueName=f"queue-{uuid.uuid4()}")["QueueUrl"]
        self.telemetry = Telemetry()
        self.arrivals = SqsArrivals(
            account(), queue_url=self.url, bucket=bucket, bucket_prefix=PREFIX, prefix="in/",
            telemetry=self.telemetry, **changes,
        )  # fmt: skip

    @property
    def arn(self) -> str:
        wished = self.raw.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        return str(wished["Attributes"]["QueueArn"])

    def send(self, body: Any) -> None:
        text = body if isinstance(body, str) else orjson.dumps(body).decode()
        self.raw.send_message(QueueUrl=self.url, MessageBody=text)

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.raw.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def counted(self) -> dict[str, int]:
        return {
            labels[0][1]: int(value)
            for name, labels, value in self.telemetry.snapshot()
            if name == "cdp_notifications_total"
        }


@asynccontextmanager
async def notified(rig, url, bucket):
    queue = Queue(url, bucket)
    raw_client("s3", url).put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )

    def lapse(arrivals):
        for arrival in arrivals:
            queue.raw.change_message_visibility(
                QueueUrl=queue.url, ReceiptHandle=arrival.receipt, VisibilityTimeout=0
            )

    yield Rig(rig.store, queue.arrivals, lapse)
    await queue.arrivals.close()


@pytest.fixture(params=["folder", "bucket", "queue"])
async def rig(request, tmp_path, moto_url):
    bucket = f"bucket-{uuid.uuid4()}"
    stored = (
        local_rig(tmp_path / "objects") if request.param == "folder" else s3_rig(moto_url, bucket)
    )
    async with stored as store_rig:
        watched = (
            notified(store_rig, moto_url, bucket)
            if request.param == "queue"
            else polling(store_rig)
        )
        async with watched as rig:
            yield rig


async def test_an_object_is_told_until_it_is_done(rig):
    await put(rig.store, "in/a.csv", b"x")
    await put(rig.store, "out/b", b"x")
    await put(rig.store, "in/c", b"x")

    first = await rig.told()
    assert keys(first) == ["in/a.csv", "in/c"]
    assert await rig.told() == []
    await rig.arrivals.done([first[0]])
    rig.lapse([first[1]])

    again = await rig.told()
    assert keys(again) == ["in/c"]
    await rig.arrivals.done(again)
    rig.lapse([])
    assert await rig.told() == []


async def test_what_comes_later_is_told_and_a_replacement_too(rig):
    await put(rig.store, "in/b", b"x")
    await rig.arrivals.done(await rig.told())

    await put(rig.store, "in/a", b"x")
    await put(rig.store, "in/b", b"another")

    assert keys(await rig.told()) == ["in/a", "in/b"]


async def test_many_are_told_few_at_a_time(rig):
    names = [f"in/{n:02}" for n in range(25)]
    for name in names:
        await put(rig.store, name, b"x")

    assert keys(await rig.told(limit=3)) == names


async def test_who_waits_is_told_as_soon_as_something_comes(rig):
    waiting = asyncio.ensure_future(rig.arrivals.next(limit=1, wait_s=4))
    await put(rig.store, "in/a", b"x")

    found = await waiting or await rig.told()

    assert keys(found) == ["in/a"]


async def test_what_was_deleted_before_it_was_done_is_no_trouble(rig):
    await put(rig.store, "in/a", b"x")
    found = await rig.told()
    await rig.store.delete("in/a")
    await rig.told()
    await rig.arrivals.done(found)
    await rig.arrivals.done(found)

    await put(rig.store, "in/a", b"x")
    assert keys(await rig.told()) == ["in/a"]


async def test_polling_remembers_no_more_than_it_may(tmp_path):
    async with local_rig(tmp_path / "objects") as stored:
        clock = SteppedClock()
        arrivals = PollingArrivals(stored.store, prefix="", clock=clock, remembered_max=3)
        rig = Rig(stored.store, arrivals, lambda _: None)
        for n in range(4):
            await put(stored.store, f"{n}", b"x")

        assert keys(await arrivals.next(limit=10, wait_s=0)) == ["0", "1", "2", "3"]
        assert keys(await arrivals.next(limit=10, wait_s=0)) == ["3"]
        await stored.store.delete("0")
        # Known to be gone after one round without it.
        assert keys(await arrivals.next(limit=10, wait_s=0)) == ["3"]
        assert keys(await arrivals.next(limit=10, wait_s=0)) == ["3"]
        assert await rig.told() == []


BUCKET = "arrivals-bucket"


def s3_event(*names: str, bucket: str = BUCKET, event: str = "ObjectCreated:Put") -> Any:
    return {
        "Records": [
            {
                "eventName": event,
                "eventSource": "aws:s3",
                "s3": {"bucket": {"name": bucket}, "object": {"key": name, "size": 1}},
            }
            for name in names
        ]
    }


def bridge_event(name: str, kind: str = "Object Created") -> Any:
    detail = {"bucket": {"name": BUCKET}, "object": {"key": name, "size": 1}}
    return {"version": "0", "source": "aws.s3", "detail-type": kind, "detail": detail}


@pytest.fixture
async def queue(moto_url):
    queue = Queue(moto_url, BUCKET, again_after_s=0)
    yield queue
    await queue.arrivals.close()


async def told_once(queue: Queue) -> list[Arrival]:
    return await queue.arrivals.next(limit=10, wait_s=0)


async def test_both_envelopes_are_read_and_names_as_each_writes_them(queue):
    queue.send(s3_event("platform/in/a%2Db"))
    queue.send(bridge_event("platform/in/c"))
    # Of those the names are no keys of ours: a space, and a sign of per cent that is one.
    queue.send(s3_event("platform/in/a+b"))
    queue.send(bridge_event("platform/in/a%2Db"))

    found = await told_once(queue)

    assert sorted(keys(found)) == ["in/a-b", "in/c"]
    assert queue.left() == 2
    await queue.arrivals.done(found)
    assert queue.left() == 0
    assert queue.counted() == {"arrival": 2, "no_key": 2}


async def test_what_is_of_no_interest_is_deleted_at_once(queue):
    queue.send({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})
    queue.send(s3_event("platform/in/a", event="ObjectRemoved:Delete"))
    queue.send(bridge_event("platform/in/a", kind="Object Deleted"))
    queue.send(s3_event("elsewhere/in/a", "platform/out/a", "in/a"))

    assert await told_once(queue) == []
    assert queue.left() == 0
    assert queue.counted() == {"other": 3}


@pytest.mark.parametrize(
    "body",
    [
        "", "no JSON", "[]", "{}", "null", '"Records"', '{"Records": 1}', '{"Records": [{}]}',
        '{"source": "aws.s3"}', "[" * 5000, s3_event("platform/in/a", bucket="strangers"),
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": 1}}}]}',
        s3_event("platform/in/%ff"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_counted_and_deleted_the_third_time(queue, body, caplog):
    queue.send(body or " ")

    for times in (1, 2, 3):
        assert queue.left() == 1
        assert await told_once(queue) == []
        assert queue.counted() == {"malformed": times}

    assert queue.left() == 0
    assert [record.times for record in caplog.records if record.name.startswith("cdp")] == [1, 2, 3]


async def test_a_notification_of_several_objects_ends_with_the_last(queue):
    queue.send(s3_event("platform/in/a", "platform/in/b", "elsewhere/c"))

    found = await told_once(queue)
    assert keys(found) == ["in/a", "in/b"]
    await queue.arrivals.done(found[:1])
    assert queue.left() == 1
    await queue.arrivals.done(found[1:])
    assert queue.left() == 0


async def test_a_queue_that_is_not_there_is_unavailable(moto_url):
    for url in (f"{moto_url}/123456789012/nobodys", "http://127.0.0.1:9/1/queue"):
        arrivals = SqsArrivals(
            account(), queue_url=url, bucket=BUCKET, bucket_prefix="", prefix="in/",
            telemetry=Telemetry(),
        )  # fmt: skip
        asked = await error_of(arrivals.next(limit=1, wait_s=0))
        assert isinstance(asked, StoreUnavailable)
        await arrivals.close()
    with pytest.raises(ValueError, match="URL"):
        SqsArrivals(
            account(), queue_url="queue", bucket=BUCKET, bucket_prefix="", prefix="",
            telemetry=Telemetry(),
        )  # fmt: skip
