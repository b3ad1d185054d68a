"""A template: named content with placeholders. Every change is a new version that never changes."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cdp.domain.ids import ClientId, text_of
from cdp.domain.template_needs import NOTHING_NEEDED, Needs

ANY_LOCALE = "*"
"""Whose variant is for all that no other is for."""

Parts = Mapping[str, str]
Variants = Mapping[str, Parts]
"""By locale, in the one form that `locale_of` gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """One immutable version of a client's template: content for one or several channels."""

    id: bytes
    client_id: ClientId
    name: str
    version: int
    contents: Mapping[str, Variants]
    """By channel."""
    needs: Mapping[str, Mapping[str, Needs]] = field(default_factory=dict)
    """By channel and locale; empty where they were not looked for when it was saved."""
    created_at: datetime

    def needs_for(self, channel: str, locale: str | None) -> Needs:
        """What the content for a channel and language needs of the data."""
        needs = self.needs.get(channel, {})
        if len(needs) == 1 and ANY_LOCALE in needs:
            return needs[ANY_LOCALE]
        nearest = next((name for name in lookup_range(locale) if name in needs), "")
        return needs.get(nearest, NOTHING_NEEDED)

    def variant(self, channel: str, locale: str | None) -> "Variant | None":
        """The content for a channel, in the nearest language that there is.

        `pt-BR` gets the variant for `pt-BR`, else the one for `pt`, else the one for all. None
        where there is nothing for the channel, or only in other languages.
        """
        variants = self.contents.get(channel, {})
        for name in lookup_range(locale):
            if name in variants:
                return Variant(
                    key=f"{text_of(self.id)}/{channel}/{name}", locale=name, parts=variants[name]
                )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The parts for one channel and language."""

    key: str
    """Names them in caches for ever."""
    locale: str
    parts: Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateHead:
    """A template, as a list of them shows it."""

    name: str
    version: int | None
    """The current one; None where there are only drafts."""
    latest: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PartDiff:
    """How one part differs between two versions."""

    channel: str
    locale: str
    part: str
    diff: str
    """Unified, without a heading."""


def differences(old: TemplateVersion, new: TemplateVersion) -> list[PartDiff]:
    """What differs, in the order of channel, locale and part."""
    before, after = _flat(old), _flat(new)
    found = []
    for key in sorted(before.keys() | after.keys()):
        lines = difflib.unified_diff(
            before.get(key, "").splitlines(), after.get(key, "").splitlines(), lineterm="", n=2
        )
        # The first two lines would name files.
        diff = "\n".join(list(lines)[2:])
        if before.get(key) != after.get(key):
            channel, locale, part = key
            found.append(PartDiff(channel=channel, locale=locale, part=part, diff=diff))
    return found


def _flat(version: TemplateVersion) -> dict[tuple[str, str, str], str]:
    return {
        (channel, locale, part): text
        for channel, variants in version.contents.items()
        for locale, parts in variants.items()
        for part, text in parts.items()
    }


def locale_of(text: str) -> str:
    """The one form of a language tag: `pt-BR`, `zh-Hant-TW`.

    Source: RFC 5646, section 2.1.1.
    """
    first, *rest = text.split("-")
    tags = [first.lower()]
    for tag in rest:
        if len(tag) == 2:
            tags.append(tag.upper())
        elif len(tag) == 4 and tag.isalpha():
            tags.append(tag.title())
        else:
            tags.append(tag.lower())
    return "-".join(tags)


def lookup_range(locale: str | None) -> list[str]:
    """What to look for, the nearest first, for one who reads this language.

    Source: RFC 4647, section 3.4: the last tag is cut off, and with it a single letter before it.
    """
    names: list[str] = []
    tags = locale_of(locale).split("-") if locale else []
    while tags:
        names.append("-".join(tags))
        tags.pop()
        while tags and len(tags[-1]) == 1:
            tags.pop()
    return [*names, ANY_LOCALE]
