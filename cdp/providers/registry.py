"""Which providers there are: a table of texts, so that only what is configured is imported.

A provider of somebody else's package is an entry point of the group `cdp.providers`, under the
same kind of name, such as `sms.acme`.
"""

import importlib
from importlib.metadata import entry_points
from typing import Any, Final

ENTRY_POINT_GROUP: Final = "cdp.providers"

PROVIDERS: Final[dict[str, str]] = {
    "email.smtp": "cdp.providers.email.smtp:SmtpProvider",
    "email.ses": "cdp.providers.email.ses:SesEmail",
    "sms.sns": "cdp.providers.sms.sns:SnsSms",
    "sms.twilio": "cdp.providers.sms.twilio:TwilioSms",
    "push.fcm": "cdp.providers.push.fcm:FcmPush",
    "push.apns": "cdp.providers.push.apns:ApnsPush",
    "push.mailbox": "cdp.providers.push.mailbox:MailboxPush",
    "push.web": "cdp.providers.push.web:WebPush",
    "in_app.inbox": "cdp.providers.in_app.inbox:InboxProvider",
    "webhook.standard": "cdp.providers.webhook.standard:StandardWebhook",
    "webhook.slack": "cdp.providers.webhook.slack:SlackWebhook",
}


class UnknownProvider(LookupError):
    """No provider has this name, neither of the platform nor of an installed package."""


def load(name: str) -> Any:
    """The class of a provider. The platform's own cannot be replaced by a package.

    Raises:
        UnknownProvider: nothing has this name.
    """
    path = PROVIDERS.get(name)
    if path is not None:
        module, _, attribute = path.partition(":")
        return getattr(importlib.import_module(module), attribute)
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return entry_point.load()
    raise UnknownProvider(name)
