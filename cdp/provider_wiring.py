"""How providers are plugged in: what the settings say of them, their keys, and how one is opened.

With the embedded MongoDB every channel has one, so that all of them work on a laptop: the mailbox
takes emails, text messages and push notifications, and is a place that webhooks can be sent to.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdp.ports.clock import Clock
from cdp.ports.inbox import Inbox
from cdp.ports.provider import Provider, ProviderTools
from cdp.providers.registry import load
from cdp.services.provider_roster import INSTALLED, MANY_HOSTS, Account
from cdp.services.secret_box import SecretBox, Unopenable
from cdp.settings import Settings, WrongSettings

_KEY_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_KEY: Final = re.compile(r"[0-9A-Fa-f]{64}")

Kinds = Mapping[str, Mapping[str, Any]]
"""The settings of each kind of provider, in the order in which they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOpener:
    """Opens providers with their accounts' settings."""

    settings: Settings
    clock: Clock
    inbox: Inbox

    def __call__(self, account: Account) -> Provider[Any]:
        """A provider. Nothing is connected before its first message."""
        if not account.is_readable:
            raise Unopenable
        adapter = load(account.kind)
        reach_private = reaches_private(self.settings)
        tools = ProviderTools(
            clock=self.clock,
            inbox=self.inbox,
            reach_private=reach_private or not (account.is_clients or _calls_anybody(account)),
        )
        settings = adapter.Settings.model_validate(dict(account.settings))
        provider: Provider[Any] = adapter.open(settings, tools)
        return provider


def reaches_private(settings: Settings) -> bool:
    """Whether what clients name may be near: on a laptop they are its owner."""
    near = settings.private_targets
    return settings.mongo_uri is None if near is None else near


def _calls_anybody(account: Account) -> bool:
    """Whether the messages themselves say where to connect to, whoever has set it up."""
    return account.kind.startswith(MANY_HOSTS) or account.kind == "push.web"


def secret_box(settings: Settings, embedded: Callable[[], bytes]) -> SecretBox:
    """What providers' credentials are sealed with: the keys of the settings, or the embedded.

    Raises:
        WrongSettings: the settings hold no keys.
    """
    if settings.secrets_keys is None:
        return SecretBox({"embedded": embedded()})
    keys: dict[str, bytes] = {}
    for entry in settings.secrets_keys.get_secret_value().split(","):
        name, _, key = (part.strip() for part in entry.partition(":"))
        if not _KEY_NAME.fullmatch(name) or not _KEY.fullmatch(key) or name in keys:
            raise WrongSettings(
                "CDP_SECRETS_KEYS is NAME:KEY, several with commas: each name once, each key 64 "
                "hexadecimal digits."
            )
        keys[name] = bytes.fromhex(key)
    return SecretBox(keys)


def default_accounts(settings: Settings, channel: str, *, hook_key: bytes) -> list[Account]:
    """The providers of a channel that an installation has before anybody sets one up.

    Args:
        settings: of the installation.
        channel: whose.
        hook_key: what the secret that webhooks are signed with is derived from.
    """
    return [
        Account(key=f"{INSTALLED}{kind}", version=1, name=kind, kind=kind, settings=given)
        for kind, given in _defaults(settings, hook_key).get(channel, {}).items()
    ]


def _defaults(settings: Settings, hook_key: bytes) -> dict[str, Kinds]:
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
