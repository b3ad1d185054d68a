"""The channels that there are: a new one is a file beside this and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cdp.channels import email, in_app, push, sms, webhook
from cdp.channels.content import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What the platform knows of a channel."""

    parts: tuple[str, ...]
    """Of its content, in the order in which they are shown. Of a template each is a text."""
    address_field: str
    """What a template calls a recipient's address."""
    finish: Callable[[Parts], Parts]
    """Makes rendered content what is sent; raises `UnfitContent`."""
    address: Callable[[str], str]
    """Makes an address the one form of it; raises `ValueError`."""
    needs_sender: bool = False
    suppressed_as: Callable[[str], str] = str
    """The form of an address, already in its one form, under which it is suppressed."""


CHANNELS: Final[Mapping[str, Channel]] = {
    "email": Channel(
        parts=("subject", "html", "text"),
        address_field="email",
        finish=email.finish,
        address=email.normalise,
        needs_sender=True,
        suppressed_as=email.suppression_key,
    ),
    "sms": Channel(
        parts=("text",),
        address_field="phone",
        finish=sms.finish,
        address=sms.normalise,
    ),
    "push": Channel(
        parts=("title", "body", "data", "collapse_key", "ttl_s"),
        address_field="device_token",
        finish=push.finish,
        address=str,
        suppressed_as=push.suppression_key,
    ),
    "in_app": Channel(
        parts=("title", "body", "action_url", "action_label", "data"),
        address_field="user",
        finish=in_app.finish,
        address=in_app.normalise_user,
    ),
    "webhook": Channel(
        parts=("payload",),
        address_field="url",
        finish=webhook.finish,
        address=webhook.normalise,
    ),
}
