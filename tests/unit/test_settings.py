"""Settings that would be overlooked are refused when the platform starts."""

import pytest
from pydantic import ValidationError

from cdp.object_stores.local import LocalObjectStore
from cdp.object_stores.polling import PollingArrivals
from cdp.object_stores.s3 import S3ObjectStore
from cdp.object_stores.sqs import SqsArrivals
from cdp.ports.clock import SystemClock
from cdp.settings import Settings, WrongSettings, load_settings
from cdp.store_wiring import arrivals, object_store
from cdp.telemetry import Telemetry

QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/111122223333/cdp-arrivals"


@pytest.mark.parametrize(
    "origins",
    ["", "https://app.example", "http://localhost:3000", " https://a.example\n https://b.example "],
)
def test_origins_of_pages_stand_with_spaces_between(origins):
    assert Settings(inbox_origins=origins).inbox_origins == origins


@pytest.mark.parametrize(
    "origins",
    ["*", "app.example", "https://app.example/", "https://A.example", "null",
     "https://a.example,https://b.example", "https://a.example https://b.example/inbox"],
)  # fmt: skip
def test_what_no_browser_calls_an_origin_is_refused(origins):
    with pytest.raises(ValidationError):
        Settings(inbox_origins=origins)


@pytest.mark.parametrize(
    ("variables", "store", "watch"),
    [
        ({}, LocalObjectStore, PollingArrivals),
        ({"OBJECT_STORE": "s3", "S3_BUCKET": "shop"}, S3ObjectStore, PollingArrivals),
        (
            {"OBJECT_STORE": "s3", "S3_BUCKET": "shop", "S3_QUEUE_URL": QUEUE_URL},
            S3ObjectStore,
            SqsArrivals,
        ),
    ],
)
async def test_files_come_from_a_queue_where_there_is_one(monkeypatch, variables, store, watch):
    for name, value in variables.items():
        monkeypatch.setenv(f"CDP_{name}", value)
    settings, clock = load_settings(), SystemClock()

    objects = object_store(settings, clock)
    told = arrivals(settings, objects, clock=clock, telemetry=Telemetry())

    assert (type(objects), type(told)) == (store, watch)
    await told.close()
    await objects.close()


def test_a_queue_without_a_bucket_is_refused(monkeypatch):
    monkeypatch.setenv("CDP_S3_QUEUE_URL", QUEUE_URL)

    with pytest.raises(WrongSettings, match="CDP_OBJECT_STORE=s3"):
        load_settings()
