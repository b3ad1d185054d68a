"""What callers send to have templates saved and tried."""

from typing import Annotated, Final

from pydantic import Field

from cdp.http.communication_models import Phone, RecipientIn, Text, Url, User
from cdp.http.models import Address, ChannelWord, Data, Input, Locale

LOCALES_MAX: Final = 50


class EmailPartsIn(Input):
    """An email: html, text or both."""

    subject: Annotated[str, Field(min_length=1, max_length=10_000)]
    html: Text | None = None
    text: Text | None = None


class SmsPartsIn(Input):
    """A text message."""

    text: Text


class PushPartsIn(Input):
    """A push notification."""

    title: Text
    body: Text
    data: Annotated[Text | None, Field(description="What it makes is a JSON object of texts.")] = (
        None
    )
    collapse_key: Text | None = None
    ttl_s: Annotated[Text | None, Field(description="What it makes is a whole number.")] = None


class InAppPartsIn(Input):
    """An entry of an inbox."""

    title: Text
    body: Text
    action_url: Text | None = None
    action_label: Text | None = None
    data: Annotated[Text | None, Field(description="What it makes is a JSON object.")] = None


class WebhookPartsIn(Input):
    """What is posted."""

    payload: Annotated[
        Text,
        Field(
            description="What it makes is JSON: put values in with the filter `tojson`.",
            examples=['{"order": {{ order | tojson }}}'],
        ),
    ]


class ContentsIn(Input):
    """Content for one or several channels, each part a template."""

    email: EmailPartsIn | None = None
    sms: SmsPartsIn | None = None
    push: PushPartsIn | None = None
    in_app: InAppPartsIn | None = None
    webhook: WebhookPartsIn | None = None


class TemplateIn(ContentsIn):
    """The content of a new version."""

    locales: Annotated[
        dict[Locale, ContentsIn],
        Field(
            max_length=LOCALES_MAX,
            description="Variants by language. Who reads `pt-BR` gets the variant for `pt-BR`, "
            "else the one for `pt`, else the content that stands outside of this.",
        ),
    ] = Field(default_factory=dict)


class PublishIn(Input):
    """Which version is to be the current one."""

    version: Annotated[int, Field(ge=1, le=999_999_999)]


class RenderRecipientIn(RecipientIn):
    """For whom a template is tried."""

    email: Address | None = None
    phone: Phone | None = None
    user: User | None = None
    url: Url | None = None


class RenderIn(Input):
    """Data to try a template with."""

    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    channel: Annotated[
        ChannelWord | None, Field(description="Needed where it has content for several.")
    ] = None
    data: Data = Field(default_factory=dict)
    recipient: RenderRecipientIn | None = None
