"""What callers get to see of templates, as plain values for JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from cdp.channels.table import CHANNELS
from cdp.domain.template import ANY_LOCALE, PartDiff, TemplateHead, TemplateVersion
from cdp.http.views import content_parts_view
from cdp.services.template_service import Rendering


def template_view(version: TemplateVersion) -> dict[str, Any]:
    """One version with its content, as it was given."""
    locales = sorted(
        {name for variants in version.contents.values() for name in variants} - {ANY_LOCALE}
    )
    return {
        "name": version.name,
        "version": version.version,
        **_contents(version, ANY_LOCALE),
        "locales": {locale: _contents(version, locale) for locale in locales},
        "created_at": version.created_at,
    }


def _contents(version: TemplateVersion, locale: str) -> dict[str, Mapping[str, str | None] | None]:
    found: dict[str, Mapping[str, str | None] | None] = {}
    for channel in CHANNELS:
        parts = version.contents.get(channel, {}).get(locale)
        found[channel] = None if parts is None else content_parts_view(channel, parts)
    return found


def template_head_view(head: TemplateHead) -> dict[str, Any]:
    """A template in a list."""
    return {
        "name": head.name,
        "version": head.version,
        "latest": head.latest,
        "updated_at": head.updated_at,
    }


def rendering_view(rendering: Rendering) -> dict[str, Any]:
    """A version, rendered."""
    return {
        "name": rendering.version.name,
        "version": rendering.version.version,
        "channel": rendering.channel,
        "locale": None if rendering.locale == ANY_LOCALE else rendering.locale,
        "content": content_parts_view(rendering.channel, rendering.parts),
    }


def diff_view(before: int, after: int, differences: Sequence[PartDiff]) -> dict[str, Any]:
    """What differs between two versions."""
    return {
        "from": before,
        "to": after,
        "parts": [
            {
                "channel": each.channel,
                "locale": None if each.locale == ANY_LOCALE else each.locale,
                "part": each.part,
                "diff": each.diff,
            }
            for each in differences
        ],
    }
