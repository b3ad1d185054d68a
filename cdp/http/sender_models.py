"""What callers send to have senders set, and what they get to see of them."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cdp.channels import senders, sms
from cdp.http.json_input import OneOf
from cdp.http.models import Address, ChannelWord, DisplayName, Input
from cdp.http.outputs import Id, Output


class AnySenderIn(Input):
    """What may be said of a sender on every channel."""

    is_default: Annotated[
        bool | None,
        Field(
            description="Whether it counts on its channel where no delivery configuration names a "
            "sender. True takes the place of the one that did. Left out, it stays as it is; the "
            "first of a channel is its default."
        ),
    ] = None


class EmailSenderIn(AnySenderIn):
    """Who emails come from."""

    channel: Literal["email"]
    email: Address
    display_name: DisplayName = ""
    reply_to: Annotated[
        Address | None, Field(description="Where answers go that a request says nothing else of.")
    ] = None
    dkim_domain: Annotated[
        str | None,
        Field(
            min_length=3,
            max_length=senders.DOMAIN_CHARS_MAX,
            description="The domain that is to sign: the address's, or one above it. The key is "
            "set with the provider.",
            examples=["example.com"],
        ),
    ] = None


class SmsSenderIn(AnySenderIn):
    """Who text messages come from."""

    channel: Literal["sms"]
    originator: Annotated[
        str,
        Field(
            min_length=1,
            max_length=sms.PHONE_CHARS_MAX,
            description="An international number, a short code, or a name of up to "
            f"{sms.SENDER_NAME_CHARS_MAX} letters and digits.",
            examples=["EXAMPLE"],
        ),
    ]


class PlainSenderIn(AnySenderIn):
    """A sender on a channel that shows none: a name to configure by."""

    channel: Literal["push", "in_app", "webhook"]


class SenderIn(
    OneOf[Annotated[EmailSenderIn | SmsSenderIn | PlainSenderIn, Field(discriminator="channel")]]
):
    """What a sender is from now on."""

    TAG: ClassVar = "channel"


class SenderOut(Output):
    """A sender. What its channel has no use for is null."""

    id: Id
    name: str
    channel: ChannelWord
    email: str | None
    display_name: str | None
    reply_to: str | None
    dkim_domain: str | None
    originator: str | None
    is_default: bool
    version: int
    created_at: datetime
    updated_at: datetime


class SenderPage(Output):
    """A page. Hand `next_cursor` in to get the next one."""

    items: list[SenderOut]
    next_cursor: str | None
