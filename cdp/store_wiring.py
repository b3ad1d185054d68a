"""Where files are kept, as the settings say."""

from pathlib import Path

from cdp.object_stores.aws_client import AwsAccount
from cdp.object_stores.local import LocalObjectStore
from cdp.object_stores.s3 import S3ObjectStore
from cdp.ports.clock import Clock
from cdp.ports.object_store import ObjectStore
from cdp.settings import Settings

REGION = "us-east-1"
"""Of what speaks S3 and has no regions."""


def object_store(settings: Settings, clock: Clock) -> ObjectStore:
    """The store of an installation; nothing is connected before it is used."""
    if settings.object_store == "folder":
        return LocalObjectStore(Path(settings.state_dir).absolute() / "objects", clock=clock)
    assert settings.s3_bucket is not None
    secret = settings.s3_secret_access_key
    account = AwsAccount(
        region=settings.s3_region or REGION,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=None if secret is None else secret.get_secret_value(),
    )
    return S3ObjectStore(
        account,
        bucket=settings.s3_bucket,
        prefix=settings.s3_prefix,
        endpoint_url=settings.s3_endpoint_url,
        clock=clock,
    )
