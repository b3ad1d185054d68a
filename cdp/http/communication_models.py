"""What callers send to have communications made: a model for each channel."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from cdp.channels import email, in_app, push, sms, webhook
from cdp.domain.ids import RECIPIENTS_MAX
from cdp.http.json_input import OneOf
from cdp.http.models import (
    METADATA_MAX,
    Address,
    Data,
    DisplayName,
    Input,
    Label,
    Locale,
    MetadataName,
    MetadataValue,
    PriorityWord,
    Reference,
    TemplateName,
    Time,
    Timezone,
    checked,
    header_text,
)

Phone = Annotated[
    str,
    Field(
        max_length=sms.PHONE_CHARS_MAX,
        description="An international phone number, with its plus sign. It is stored in E.164.",
        examples=["+4915112345678"],
    ),
    AfterValidator(checked(sms.normalise, "phone_invalid")),
]
Url = Annotated[
    str,
    Field(
        max_length=webhook.URL_CHARS_MAX,
        json_schema_extra={"format": "uri"},
        description="Where to post to. It must not lead into a private network.",
        examples=["https://hooks.example.com/orders"],
    ),
    AfterValidator(checked(webhook.normalise, "url_invalid")),
]
User = Annotated[
    str,
    Field(
        min_length=1, max_length=in_app.USER_CHARS_MAX, description="Your own name for your user."
    ),
    AfterValidator(checked(in_app.normalise_user, "user_invalid")),
]
Endpoint = Annotated[
    str,
    Field(max_length=push.ENDPOINT_CHARS_MAX, json_schema_extra={"format": "uri"}),
    AfterValidator(checked(push.normalise_endpoint, "endpoint_invalid")),
]
DeviceToken = Annotated[str, Field(min_length=16, max_length=push.TOKEN_CHARS_MAX)]
Text = Annotated[str, Field(min_length=1)]


class MailboxIn(Input):
    """An address with the name that is shown beside it."""

    email: Address
    name: DisplayName = ""


class RecipientIn(Input):
    """What may be known of every recipient."""

    name: DisplayName = ""
    locale: Locale | None = None
    timezone: Timezone | None = None
    data: Data = Field(default_factory=dict)


class EmailRecipientIn(RecipientIn):
    """One who gets an email, and what is known of them."""

    email: Address


class SmsRecipientIn(RecipientIn):
    """One who gets a text message, and what is known of them."""

    phone: Phone


class SubscriptionKeysIn(Input):
    """The keys of a Web Push subscription, in base64url."""

    p256dh: Annotated[str, Field(max_length=100)]
    auth: Annotated[str, Field(max_length=30)]


class SubscriptionIn(Input):
    """A Web Push subscription, as a browser gives it."""

    endpoint: Endpoint
    expirationTime: Annotated[  # noqa: N815 - the browser's name for it
        float | None, Field(description="What the browser says of it. It is not looked at.")
    ] = None
    keys: SubscriptionKeysIn


class PushRecipientIn(RecipientIn):
    """A device, by its token and platform or by its Web Push subscription."""

    device_token: DeviceToken | None = None
    platform: Literal["fcm", "apns"] | None = None
    subscription: SubscriptionIn | None = None


class InAppRecipientIn(RecipientIn):
    """A user of the client's app, who has an inbox there."""

    user: User


class WebhookRecipientIn(RecipientIn):
    """A URL that is called."""

    url: Url


class EmailContentIn(Input):
    """An email in full: html, text or both. Nothing in it is a template."""

    subject: Annotated[
        str,
        Field(min_length=1, max_length=email.SUBJECT_CHARS_MAX),
        AfterValidator(checked(header_text("the subject"), "header_unsafe")),
    ]
    html: Text | None = None
    text: Text | None = None


class SmsContentIn(Input):
    """A text message in full, of ten segments at most."""

    text: Text


class PushContentIn(Input):
    """A notification in full."""

    title: Text
    body: Text
    data: Annotated[dict[str, str], Field(description="For the app; the user does not see it.")] = (
        Field(default_factory=dict)
    )
    collapse_key: Annotated[
        str | None,
        Field(
            max_length=push.COLLAPSE_KEY_CHARS_MAX,
            description="A later notification with the same key takes this one's place.",
        ),
    ] = None
    ttl_s: Annotated[
        int | None,
        Field(
            ge=0,
            le=push.TTL_S_MAX,
            description="Seconds for which it is kept for a device that is away.",
        ),
    ] = None


class InAppContentIn(Input):
    """An entry of an inbox in full."""

    title: Text
    body: Text
    action_url: Annotated[str | None, Field(max_length=in_app.ACTION_CHARS_MAX)] = None
    action_label: Text | None = None
    data: Data = Field(default_factory=dict)


class WebhookContentIn(Input):
    """What is posted, in full."""

    payload: Annotated[Any, Field(description="Any JSON.")]


class TrackingIn(Input):
    """What is tracked; left out, the client's setting counts."""

    opens: bool | None = None
    clicks: bool | None = None


class RequestIn(Input):
    """What a request for any channel may say."""

    template: TemplateName | None = None
    campaign: Label | None = None
    segment: Label | None = None
    topic: Annotated[
        Label | None,
        Field(
            description="What it is about. Recipients may opt out of that alone: emails get a link "
            "for it."
        ),
    ] = None
    data: Data = Field(default_factory=dict)
    priority: PriorityWord = "normal"
    send_at: Time = None
    expires_at: Time = None
    reference: Reference | None = None
    metadata: Annotated[dict[MetadataName, MetadataValue], Field(max_length=METADATA_MAX)] = Field(
        default_factory=dict
    )


class EmailIn(RequestIn):
    """A request for emails: one to each recipient."""

    channel: Literal["email"]
    to: Annotated[list[EmailRecipientIn], Field(min_length=1, max_length=RECIPIENTS_MAX)]
    content: EmailContentIn | None = None
    tracking: TrackingIn | None = None
    cc: Annotated[list[MailboxIn], Field(max_length=email.COPIES_MAX)] = Field(default_factory=list)
    bcc: Annotated[list[MailboxIn], Field(max_length=email.COPIES_MAX)] = Field(
        default_factory=list
    )
    reply_to: MailboxIn | None = None
    headers: Annotated[
        dict[str, str],
        Field(
            max_length=email.HEADERS_MAX,
            description="More headers. Those that the platform writes itself are refused.",
            examples=[{"X-Order": "12345"}],
        ),
    ] = Field(default_factory=dict)


class SmsIn(RequestIn):
    """A request for text messages: one to each recipient."""

    channel: Literal["sms"]
    to: Annotated[list[SmsRecipientIn], Field(min_length=1, max_length=RECIPIENTS_MAX)]
    content: SmsContentIn | None = None


class PushIn(RequestIn):
    """A request for push notifications: one to each device."""

    channel: Literal["push"]
    to: Annotated[list[PushRecipientIn], Field(min_length=1, max_length=RECIPIENTS_MAX)]
    content: PushContentIn | None = None


class InAppIn(RequestIn):
    """A request for entries in inboxes: one in each user's."""

    channel: Literal["in_app"]
    to: Annotated[list[InAppRecipientIn], Field(min_length=1, max_length=RECIPIENTS_MAX)]
    content: InAppContentIn | None = None


class WebhookIn(RequestIn):
    """A request for webhooks: one call of each URL."""

    channel: Literal["webhook"]
    to: Annotated[list[WebhookRecipientIn], Field(min_length=1, max_length=RECIPIENTS_MAX)]
    content: WebhookContentIn | None = None


AnyIn = EmailIn | SmsIn | PushIn | InAppIn | WebhookIn


class CommunicationIn(OneOf[Annotated[AnyIn, Field(discriminator="channel")]]):
    """A request: one communication to each of its recipients."""

    TAG: ClassVar = "channel"
