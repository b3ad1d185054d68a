"""Every setting, as an environment variable with the prefix `CDP_`.

Read once, in `cdp.wiring`; services get values, never this object.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX: Final = "CDP_"


class Environment(StrEnum):
    """Where the platform runs."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    env: Environment = Field(
        Environment.DEVELOPMENT,
        description="`production` refuses the embedded parts that are for laptops.",
    )
    state_dir: Path = Field(
        Path(".cdp"), description="Folder of the embedded parts: data, logs, secrets, pids."
    )
    instance: str = Field("", description="Set by `cdp up` on the processes it starts.")

    mongo_uri: SecretStr | None = Field(
        None, description="MongoDB, as the platform's user; unset: an embedded one."
    )
    mongo_tracking_uri: SecretStr | None = Field(
        None, description="MongoDB, as the user of DeliveryTracking; needed with `CDP_MONGO_URI`."
    )
    mongo_migrate_uri: SecretStr | None = Field(
        None, description="MongoDB, as the user of migrations; needed with `CDP_MONGO_URI`."
    )
    mongo_port: PositiveInt = Field(27117, description="Port of the embedded MongoDB.")
    mongo_cache_gb: PositiveFloat = Field(1.0, description="Cache of the embedded MongoDB, in GB.")
    chaos: bool = Field(False, description="Embedded MongoDB with failpoints, for fault tests.")

    id_key: SecretStr | None = Field(
        None, description="Hex key that derived ids are made with; must never change."
    )
    tracking_key: SecretStr | None = Field(
        None, description="Hex key that tracking links are signed with."
    )
    key_pepper: SecretStr | None = Field(None, description="Hex key that API keys are hashed with.")

    ray_address: str | None = Field(
        None, description="Address of a Ray cluster; unset: a local one is started."
    )
    ray_port: PositiveInt = Field(6390, description="Port of the local Ray's control store.")
    ray_cpus: PositiveInt = Field(16, description="Logical CPUs of the local Ray.")
    dashboard_port: PositiveInt = Field(8265, description="Port of the Ray dashboard.")
    http_host: str = Field("127.0.0.1", description="Address that the API listens on.")
    http_port: PositiveInt = Field(8000, description="Port of API and tracking.")
    public_url: str | None = Field(
        None, description="Base URL of tracked links; unset: the API's own address."
    )

    smtp_host: str | None = Field(
        None, description="SMTP server for email; unset: the embedded mailbox."
    )
    smtp_port: PositiveInt = Field(587, description="Port of `CDP_SMTP_HOST`.")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "starttls", description="`starttls`, `tls` or `none`, for `CDP_SMTP_HOST`."
    )
    smtp_username: str | None = Field(None, description="User name for `CDP_SMTP_HOST`.")
    smtp_password: SecretStr | None = Field(None, description="Password for `CDP_SMTP_HOST`.")
    smtp_connections: PositiveInt = Field(
        8, description="Connections that one worker keeps open to the SMTP server."
    )
    mailbox_smtp_port: PositiveInt = Field(2525, description="SMTP port of the mailbox.")
    mailbox_http_port: PositiveInt = Field(8025, description="HTTP port of the mailbox.")
    inbox_origins: str = Field(
        "",
        pattern=r"^\s*(https?://[a-z0-9.-]+(:[0-9]{1,5})?(\s+|$))*$",
        description="Origins of pages that may read inboxes, with spaces between: "
        "`https://app.example`.",
    )
    private_targets: bool | None = Field(
        None,
        description="Whether webhooks and clients' providers may be in private networks; unset: "
        "only beside the embedded MongoDB.",
    )
    secrets_keys: SecretStr | None = Field(
        None,
        description="Keys that providers' credentials are sealed with, `name:hex` of 32 bytes, "
        "several with commas: the first seals, all open.",
    )
    message_id_domain: str = Field(
        "cdp.localhost", description="Right side of the Message-ID of every email."
    )

    object_store: Literal["folder", "s3"] = Field(
        "folder",
        description="Where files of requests are kept: `folder`, in the state folder of one "
        "machine, or `s3`, and what speaks it.",
    )
    s3_bucket: str | None = Field(None, description="Bucket of `CDP_OBJECT_STORE=s3`.")
    s3_prefix: str = Field("", description="What all keys in the bucket begin with.")
    s3_region: str | None = Field(None, description="Region of the bucket.")
    s3_endpoint_url: str | None = Field(None, description="Another host than Amazon's.")
    s3_access_key_id: str | None = Field(
        None, description="Unset: what the AWS default chain finds."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="Of `CDP_S3_ACCESS_KEY_ID`.")
    s3_queue_url: str | None = Field(
        None,
        description="Queue of SQS that the bucket tells of new objects; unset: it is listed every "
        "few seconds.",
    )
    sftp_host: str = Field("127.0.0.1", description="Address that the SFTP gateway listens on.")
    sftp_port: PositiveInt = Field(2022, description="Port of the SFTP gateway.")
    sftp_host_key: SecretStr | None = Field(
        None, description="Its private key as OpenSSH writes it; unset: one in the state folder."
    )
    ingestions_max: PositiveInt = Field(1, description="Actors that work on files at most.")

    partitions: PositiveInt = Field(
        64,
        # MongoDB merges the ranges of the work index without sorting, but not 200 of them.
        le=128,
        description="Partitions of the queue, 128 at most; fixed for the life of a database.",
    )
    shards_min: PositiveInt = Field(1, description="Queue shards at least.")
    shards_max: PositiveInt = Field(2, description="Queue shards at most.")
    workers_min: PositiveInt = Field(1, description="Delivery workers a lane at least.")
    workers_max: PositiveInt = Field(2, description="Delivery workers a lane at most.")
    drain_s: PositiveFloat = Field(
        60.0, description="Seconds in which a backlog should be worked off; sizes the workers."
    )
    batch_max: PositiveInt = Field(250, description="Communications in one hop between actors.")
    render_children: PositiveInt = Field(
        1, description="Child processes that one Message Service replica renders in."
    )

    attempt_lease_s: PositiveFloat = Field(
        60.0, description="Seconds that a worker owns an attempt, renewed while it is under way."
    )
    shard_lease_s: PositiveFloat = Field(
        6.0, description="Seconds that a shard owns its partitions, renewed at a third."
    )
    backlog_client_max: PositiveInt = Field(
        1_000_000, description="Unfinished results that one client may have; then 429."
    )
    backlog_max: PositiveInt = Field(
        5_000_000, description="Unfinished results in all; then 503, bulk first."
    )


class WrongSettings(Exception):
    """The settings do not fit together; the message is one sentence that says what to do."""


def load_settings() -> Settings:
    """The settings from the environment.

    Raises:
        WrongSettings: a `CDP_*` variable names no setting, which a misspelt one would do in
            silence, or a value is wrong.
    """
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    unknown = sorted(n for n in os.environ if n.startswith(PREFIX) and n not in known)
    if unknown:
        raise WrongSettings(f"There is no setting {unknown[0]}: see docs/reference/settings.md.")
    settings = Settings()
    external = settings.mongo_uri is not None
    if external and None in (settings.mongo_tracking_uri, settings.mongo_migrate_uri):
        raise WrongSettings(
            "With CDP_MONGO_URI, set CDP_MONGO_TRACKING_URI and CDP_MONGO_MIGRATE_URI too."
        )
    if settings.object_store == "s3" and settings.s3_bucket is None:
        raise WrongSettings("With CDP_OBJECT_STORE=s3, set CDP_S3_BUCKET too.")
    if settings.s3_queue_url is not None and settings.object_store != "s3":
        raise WrongSettings("CDP_S3_QUEUE_URL is for CDP_OBJECT_STORE=s3: set that too.")
    if settings.env is Environment.PRODUCTION and not external:
        raise WrongSettings("In production set CDP_MONGO_URI: the embedded MongoDB is refused.")
    return settings
