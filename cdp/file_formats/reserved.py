"""Which columns are fields of a request, for each channel; every other one is personalisation data.

The fields are those that a POST has, and no more; a test holds this table against its models.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cdp.file_formats.headers import folded

Path = tuple[str | int, ...]
"""Where a cell's value goes: names, and 0 for the only element of a list."""
Convert = Callable[[str], Any]
"""Makes a cell that is not blank the value of its field; raises `ValueError`."""

RECIPIENT: Final[Path] = ("to", 0)
DATA: Final[Path] = (*RECIPIENT, "data")

_BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
}
_WHOLE: Final = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_BETWEEN_ADDRESSES: Final = re.compile(r"[,;]")


def boolean(cell: str) -> bool:
    """Whether the cell says yes.

    Raises:
        ValueError: it says neither yes nor no.
    """
    found = _BOOLEANS.get(cell.lower())
    if found is None:
        raise ValueError("one of true, false, yes, no, 1 and 0 is expected")
    return found


def whole_number(cell: str) -> int:
    """The number.

    Raises:
        ValueError: it is no whole number of at most 15 digits.
    """
    if not _WHOLE.fullmatch(cell):
        raise ValueError("a whole number is expected")
    return int(cell)


def mailboxes(cell: str) -> list[dict[str, str]]:
    """The addresses, which commas or semicolons separate."""
    parts = (part.strip() for part in _BETWEEN_ADDRESSES.split(cell))
    return [{"email": part} for part in parts if part]


FAULT_OF: Final[Mapping[Convert, str]] = {
    boolean: "boolean_invalid",
    whole_number: "number_invalid",
}
"""The code of a cell that can't be converted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A column that is a field."""

    path: Path
    shown: str
    """How it is best written."""
    convert: Convert = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Columns with one beginning, such as `metadata.`, and a name of the client's behind it."""

    path: Path
    nests: bool = False
    """Whether dots in that name nest; else it is one name, just as it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelColumns:
    """The columns that are fields on one channel."""

    fields: Mapping[str, Reserved]
    """By folded name."""
    groups: Mapping[str, Group]
    """By the folded name in front of the dot."""
    addresses: frozenset[Path]
    """One of these there must be."""


def _same(path: Path, *names: str, convert: Convert = str) -> dict[str, Reserved]:
    return {folded(name): Reserved(path=path, shown=name, convert=convert) for name in names}


def _word(cell: str) -> str:
    return cell.lower()


_EVERYWHERE: Final[Mapping[str, Reserved]] = {
    **_same(("template",), "template", "template_id", "template_name"),
    **_same(("campaign",), "campaign", "campaign_id", "campaign_name"),
    **_same(("segment",), "segment", "segment_id", "segment_name"),
    **_same(("topic",), "topic"),
    **_same(("priority",), "priority", convert=_word),
    **_same(("send_at",), "send_at"),
    **_same(("expires_at",), "expires_at"),
    **_same(("reference",), "reference"),
    **_same((*RECIPIENT, "name"), "name"),
    **_same((*RECIPIENT, "locale"), "locale"),
    **_same((*RECIPIENT, "timezone"), "timezone"),
}
_GROUPS: Final[Mapping[str, Group]] = {
    "data": Group(path=DATA, nests=True),
    "metadata": Group(path=("metadata",)),
}


def _content(*names: str, **converts: Convert) -> dict[str, Reserved]:
    """The parts of a content, `content.x` each."""
    parts: dict[str, Reserved] = {}
    for name in (*names, *converts):
        convert = converts.get(name, str)
        parts |= _same(("content", name), f"content.{name}", convert=convert)
    return parts


def _channel(
    address: str,
    *also: str,
    fields: Mapping[str, Reserved],
    groups: Mapping[str, Group] | None = None,
    addresses: frozenset[Path] = frozenset(),
) -> ChannelColumns:
    path = (*RECIPIENT, address)
    return ChannelColumns(
        fields={**_EVERYWHERE, **_same(path, "to", address, *also), **fields},
        groups={**_GROUPS, **(groups or {})},
        addresses=addresses | {path},
    )


_SUBSCRIPTION: Final[Path] = (*RECIPIENT, "subscription")

COLUMNS: Final[Mapping[str, ChannelColumns]] = {
    "email": _channel(
        "email",
        "email address",
        fields={
            **_content("subject", "html", "text"),
            **_same(("tracking", "opens"), "tracking.opens", convert=boolean),
            **_same(("tracking", "clicks"), "tracking.clicks", convert=boolean),
            **_same(("cc",), "cc", convert=mailboxes),
            **_same(("bcc",), "bcc", convert=mailboxes),
            **_same(("reply_to", "email"), "reply_to", "reply_to.email"),
            **_same(("reply_to", "name"), "reply_to.name"),
        },
        groups={"headers": Group(path=("headers",))},
    ),
    "sms": _channel("phone", "phone number", fields=_content("text")),
    "push": _channel(
        "device_token",
        fields={
            **_content("title", "body", "collapse_key", ttl_s=whole_number),
            **_same((*RECIPIENT, "platform"), "platform", convert=_word),
            **_same((*_SUBSCRIPTION, "endpoint"), "subscription.endpoint"),
            **_same((*_SUBSCRIPTION, "keys", "p256dh"), "subscription.keys.p256dh"),
            **_same((*_SUBSCRIPTION, "keys", "auth"), "subscription.keys.auth"),
        },
        groups={"content.data": Group(path=("content", "data"))},
        addresses=frozenset({(*_SUBSCRIPTION, "endpoint")}),
    ),
    "in_app": _channel(
        "user",
        "user id",
        fields=_content("title", "body", "action_url", "action_label"),
        groups={"content.data": Group(path=("content", "data"), nests=True)},
    ),
    "webhook": _channel(
        "url",
        fields=_content("payload"),
        groups={"content.payload": Group(path=("content", "payload"), nests=True)},
    ),
}
"""By channel."""

ROOTS: Final[Mapping[str, frozenset[str]]] = {
    channel: frozenset(
        name.partition(".")[0] for name in (*columns.fields, *columns.groups) if "." in name
    )
    | columns.groups.keys()
    | {"to"}
    for channel, columns in COLUMNS.items()
}
"""Folded names in front of a dot that are fields themselves: nothing else may stand behind it."""
