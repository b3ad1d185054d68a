"""The providers that an installation has before anybody sets one up: those of its settings.

With the embedded MongoDB every channel has one, so that all of them work on a laptop: the mailbox
takes emails, text messages and push notifications, and is a place that webhooks can be sent to.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from cdp.settings import Settings

Kinds = Mapping[str, Mapping[str, Any]]
"""The settings of each kind of provider, in the order in which they are tried."""


def default_providers(settings: Settings, *, hook_key: bytes) -> dict[str, Kinds]:
    """By channel.

    Args:
        settings: of the installation.
        hook_key: what the secret that webhooks are signed with is derived from.
    """
    secret = hashlib.blake2b(b"webhooks", key=hook_key[:64], digest_size=32).digest()
    signed = {"secret": f"whsec_{base64.b64encode(secret).decode()}"}
    defaults: dict[str, Kinds] = {
        "email": {"email.smtp": _smtp(settings)},
        "in_app": {"in_app.inbox": {}},
        "webhook": {"webhook.standard": signed},
    }
    if settings.mongo_uri is None:
        mailbox = f"http://127.0.0.1:{settings.mailbox_http_port}"
        account = {"account_sid": "mailbox", "auth_token": "mailbox", "from_number": "Mailbox"}
        defaults["sms"] = {"sms.twilio": {**account, "base_url": mailbox}}
        defaults["push"] = {"push.mailbox": {"base_url": mailbox}}
    return defaults


def _smtp(settings: Settings) -> Mapping[str, Any]:
    if settings.smtp_host is None:
        return {
            "host": "127.0.0.1",
            "port": settings.mailbox_smtp_port,
            "security": "none",
            "connections_max": settings.smtp_connections,
        }
    password = settings.smtp_password
    return {
        "host": settings.smtp_host,
        "port": settings.smtp_port,
        "security": settings.smtp_security,
        "username": settings.smtp_username,
        "password": password.get_secret_value() if password else None,
        "connections_max": settings.smtp_connections,
    }
