"""Which providers there are: a table of texts, so that only what is configured is imported.

A provider of somebody else's package is an entry point of the group `cdp.providers`, under the
same kind of name, such as `sms.acme`. One that can't be used is said so by `unusable`, and is in
nobody else's way.
"""

import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from pydantic import BaseModel, PydanticUserError

from cdp.domain.lane import CHANNEL_NAMES

ENTRY_POINT_GROUP: Final = "cdp.providers"
REASON_CHARS_MAX: Final = 300

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

_NAME: Final = re.compile(rf"({'|'.join(CHANNEL_NAMES)})\.[a-z][a-z0-9_-]{{0,50}}")


class UnknownProvider(LookupError):
    """No provider has this name, neither of the platform nor of an installed package."""


class UnusableProvider(Exception):
    """A package names a provider that can't be used; the text says which, whose and why."""


def load(name: str) -> Any:
    """The class of a provider. The platform's own cannot be replaced by a package.

    Raises:
        UnknownProvider: nothing has this name.
        UnusableProvider: what has it can't be used.
    """
    path = PROVIDERS.get(name)
    if path is not None:
        module, _, attribute = path.partition(":")
        return getattr(importlib.import_module(module), attribute)
    loaded = _packages().loaded(name)
    if isinstance(loaded, str):
        raise UnusableProvider(loaded)
    return loaded


def names() -> list[str]:
    """Every provider's: the platform's own, then those of packages."""
    return [*PROVIDERS, *sorted(_packages().found.keys() - PROVIDERS.keys())]


def unusable() -> list[str]:
    """Of each provider of a package that can't be used which it is, whose, and why.

    It imports all of them.
    """
    packages = _packages()
    loaded = map(packages.loaded, sorted(packages.found))
    return [reason for reason in loaded if isinstance(reason, str)]


class _Packages:
    """The providers of packages, as they are installed at the time."""

    def __init__(self) -> None:
        self.found: dict[str, list[EntryPoint]] = defaultdict(list)
        for entry_point in entry_points(group=ENTRY_POINT_GROUP):
            self.found[entry_point.name].append(entry_point)
        self._loaded: dict[str, Any] = {}

    def loaded(self, name: str) -> Any:
        """The class, or a text that says why it can't be used.

        What failed to import is not tried again and again, where others wait for the answer.

        Raises:
            UnknownProvider: nothing has this name.
        """
        if name not in self.found:
            raise UnknownProvider(name)
        if name not in self._loaded:
            loaded = _loaded(name, self.found[name])
            is_fit = not isinstance(loaded, str)
            self._loaded[name] = loaded if is_fit else f"{_whose(name, self.found[name])}: {loaded}"
        return self._loaded[name]


def _packages() -> _Packages:
    return _packages_on(tuple(sys.path))


# Packages do not change under a process; where they are looked for may, as in tests.
@lru_cache(maxsize=1)
def _packages_on(_: tuple[str, ...]) -> _Packages:
    return _Packages()


def _loaded(name: str, found: Sequence[EntryPoint]) -> Any:
    if name in PROVIDERS:
        return "the platform's own has this name"
    if len(found) > 1:
        return "several packages have this name"
    if not _NAME.fullmatch(name):
        return f"a name is CHANNEL.VENDOR, and the channels are {', '.join(CHANNEL_NAMES)}"
    try:
        loaded = found[0].load()
    except (Exception, SystemExit) as error:
        # Whatever a package does when it is imported is about that package alone.
        return f"importing it raises {type(error).__name__}: {error}"[:REASON_CHARS_MAX]
    return _misshapen(loaded) or loaded


def _misshapen(adapter: Any) -> str | None:
    """What an adapter lacks; see `cdp.ports.provider.Adapter`."""
    model = getattr(adapter, "Settings", None)
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        return "it has no Settings that are a pydantic model"
    if model.model_config.get("extra") != "forbid":
        # What it does not know, such as a misspelt credential, would be kept in clear.
        return 'its Settings are not closed (extra="forbid")'
    if not callable(getattr(adapter, "open", None)):
        return "it has no method open"
    try:
        model.model_json_schema()
    except PydanticUserError:
        return "its Settings have no JSON schema"
    return None


def _whose(name: str, found: Sequence[EntryPoint]) -> str:
    packages = [f"{each.dist.name} {each.dist.version}" for each in found if each.dist is not None]
    return f"{name} of {', '.join(packages) or 'a package'} ({found[0].value})"
