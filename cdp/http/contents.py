"""From what a caller says of recipients and content to what the domain keeps of them."""

from collections.abc import Iterator, Mapping

import orjson
from pydantic import BaseModel

from cdp.channels.content import Parts, UnfitContent
from cdp.channels.push import check_subscription_keys, normalise_token
from cdp.channels.table import CHANNELS
from cdp.domain.communication_request import Recipient
from cdp.domain.ids import ResultId
from cdp.errors import FieldError
from cdp.http.communication_models import (
    AnyIn,
    EmailIn,
    InAppIn,
    PushIn,
    PushRecipientIn,
    RecipientIn,
    SmsIn,
)

ADDRESS_FIELDS: Mapping[str, str] = {
    "email": "email",
    "sms": "phone",
    "in_app": "user",
    "webhook": "url",
}
"""Where a recipient's address stands, but for a device, which has a token or a subscription."""
JSON_PARTS = frozenset({"data", "payload"})
"""Parts that are given as JSON values and kept as their text."""


def recipients_of(given: AnyIn, ids: list[ResultId]) -> tuple[Recipient, ...]:
    """The recipients that a request names, each with the id of its result."""
    # A loop for each channel, since this is the hot path: each reads its own field.
    if isinstance(given, EmailIn):
        return tuple(_recipient(i, to, to.email) for i, to in zip(ids, given.to, strict=True))
    if isinstance(given, SmsIn):
        return tuple(_recipient(i, to, to.phone) for i, to in zip(ids, given.to, strict=True))
    if isinstance(given, InAppIn):
        return tuple(_recipient(i, to, to.user) for i, to in zip(ids, given.to, strict=True))
    if isinstance(given, PushIn):
        return tuple(_device(i, to) for i, to in zip(ids, given.to, strict=True))
    return tuple(_recipient(i, to, to.url) for i, to in zip(ids, given.to, strict=True))


def _recipient(
    result_id: ResultId,
    to: RecipientIn,
    identifier: str,
    details: Mapping[str, str] | None = None,
) -> Recipient:
    return Recipient(
        result_id=result_id,
        identifier=identifier,
        details=details or {},
        name=to.name,
        locale=to.locale,
        timezone=to.timezone,
        data=to.data,
    )


def _device(result_id: ResultId, to: PushRecipientIn) -> Recipient:
    subscription = to.subscription
    if subscription is not None:
        keys = subscription.keys
        details = {"platform": "web", "p256dh": keys.p256dh, "auth": keys.auth}
        return _recipient(result_id, to, subscription.endpoint, details)
    assert to.device_token is not None
    assert to.platform is not None
    token = normalise_token(to.device_token, to.platform)
    return _recipient(result_id, to, token, {"platform": to.platform})


def device_faults(given: PushIn) -> Iterator[FieldError]:
    """What is wrong with the devices of a request."""
    for index, to in enumerate(given.to):
        at = f"/to/{index}"
        if to.subscription is not None:
            if to.device_token is not None or to.platform is not None:
                detail = "Give either a subscription or a device token, not both."
                yield FieldError(pointer=f"{at}/device_token", code="excluded", detail=detail)
            keys = to.subscription.keys
            try:
                check_subscription_keys(keys.p256dh, keys.auth)
            except ValueError as error:
                pointer = f"{at}/subscription/keys"
                yield FieldError(pointer=pointer, code="keys_invalid", detail=f"{error}.")
        elif to.device_token is None:
            detail = "Give a device token with its platform, or a subscription."
            yield FieldError(pointer=f"{at}/device_token", code="missing", detail=detail)
        elif to.platform is None:
            detail = "Say which platform the device token is of."
            yield FieldError(pointer=f"{at}/platform", code="missing", detail=detail)
        else:
            try:
                normalise_token(to.device_token, to.platform)
            except ValueError as error:
                pointer = f"{at}/device_token"
                yield FieldError(pointer=pointer, code="token_invalid", detail=f"{error}.")


def parts_of(content: BaseModel) -> Parts:
    """The parts that are there, each as a text. JSON becomes its text, a number its digits."""
    return {
        name: orjson.dumps(value).decode() if name in JSON_PARTS else str(value)
        for name in type(content).model_fields
        if (value := getattr(content, name)) is not None
        and (name not in JSON_PARTS or name == "payload" or value)
    }


def template_parts_of(content: BaseModel) -> Parts:
    """The parts of a template that are there."""
    given = {name: getattr(content, name) for name in type(content).model_fields}
    return {name: text for name, text in given.items() if text is not None}


def content_faults(channel: str, parts: Parts) -> Iterator[FieldError]:
    """Why this content can't be sent."""
    try:
        CHANNELS[channel].finish(parts)
    except UnfitContent as unfit:
        fault = unfit.fault
        yield FieldError(pointer=f"/content/{fault.part}", code=fault.code, detail=fault.detail)
