"""What S3 writes into a queue about its objects, by itself or through EventBridge.

Source: S3 user guide, "Event message structure" and "EventBridge event message structure".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import orjson


@dataclass(frozen=True, slots=True)
class Created:
    """An object that was made or replaced."""

    bucket: str
    key: str
    """In the bucket: any text."""


class NotOfS3(ValueError):
    """A body that S3 does not write."""


def created_in(body: str) -> list[Created]:
    """The objects that a notification tells of; none where it tells of something else, such as
    the test event that S3 writes when notifications are set up.

    Raises:
        NotOfS3: it is no notification.
    """
    try:
        told = orjson.loads(body)
        if "Records" in told:
            return list(_by_records(told["Records"]))
        if told.get("source") == "aws.s3":
            return list(_by_event_bridge(told))
        if told["Event"] == "s3:TestEvent":
            return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotOfS3(type(error).__name__) from None
    raise NotOfS3("Event")


def _by_records(records: list[dict[str, Any]]) -> Iterator[Created]:
    for record in records:
        if _text(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated:"):
            s3 = record["s3"]
            # Encoded as a form is: `+` is a space.
            key = unquote_plus(_text(s3["object"]["key"]), errors="strict")
            yield Created(_text(s3["bucket"]["name"]), key)


def _by_event_bridge(told: dict[str, Any]) -> Iterator[Created]:
    if told["detail-type"] == "Object Created":
        detail = told["detail"]
        # Not encoded here.
        yield Created(_text(detail["bucket"]["name"]), _text(detail["object"]["key"]))


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError
    return told
