"""Where files are kept, and who tells of new ones, as the settings say."""

from datetime import timedelta
from pathlib import Path
from typing import Final

from cdp.domain.file_arrival import ARRIVALS
from cdp.object_stores.aws_client import AwsAccount
from cdp.object_stores.local import LocalObjectStore
from cdp.object_stores.polling import PollingArrivals
from cdp.object_stores.s3 import S3ObjectStore
from cdp.object_stores.sqs import SqsArrivals
from cdp.ports.arrivals import Arrivals
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore
from cdp.settings import Settings
from cdp.telemetry import Telemetry

REGION: Final = "us-east-1"
"""Of what speaks S3 and has no regions."""
AGAIN_AFTER_S: Final = 60.0
SETTLE: Final = timedelta(seconds=10)
"""So long a file in a folder lies unchanged before it counts as whole: whoever copies it there
writes bit by bit. In S3 an object is whole or not there."""


def object_store(settings: Settings, clock: Clock) -> ObjectStore:
    """The store of an installation; nothing is connected before it is used."""
    if settings.object_store == "folder":
        return LocalObjectStore(Path(settings.state_dir).absolute() / "objects", clock=clock)
    assert settings.s3_bucket is not None
    return S3ObjectStore(
        _account(settings),
        bucket=settings.s3_bucket,
        prefix=settings.s3_prefix,
        endpoint_url=settings.s3_endpoint_url,
        clock=clock,
    )


def arrivals(
    settings: Settings, store: ObjectStore, *, clock: Clock, telemetry: Telemetry
) -> Arrivals:
    """What tells of files that others put into the store: a queue, or a look now and then."""
    if settings.s3_queue_url is None:
        again_after_s = min(AGAIN_AFTER_S, settle_time(settings).total_seconds() or AGAIN_AFTER_S)
        return PollingArrivals(store, prefix=ARRIVALS, clock=clock, again_after_s=again_after_s)
    assert settings.s3_bucket is not None
    return SqsArrivals(
        _account(settings),
        queue_url=settings.s3_queue_url,
        bucket=settings.s3_bucket,
        bucket_prefix=settings.s3_prefix,
        prefix=ARRIVALS,
        telemetry=telemetry,
    )


def settle_time(settings: Settings) -> timedelta:
    """How long a file that others put into the store lies unchanged before it counts as whole."""
    return SETTLE if settings.object_store == "folder" else timedelta(0)


def _account(settings: Settings) -> AwsAccount:
    secret = settings.s3_secret_access_key
    return AwsAccount(
        region=settings.s3_region or REGION,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=None if secret is None else secret.get_secret_value(),
    )
