"""What the demonstration's clients set up before they send: templates, segments, assignments.

Pure but for the files of `examples/`. `Shop.set_up` puts all of it over the HTTP API, and the
story that is told first is made of the same tables.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SPRING: Final = "spring"
BASKET_EVENT: Final = "basket-event"
RESET: Final = "password-reset"
LANGUAGES: Final = ("en", "de", "fr", "es", "pt", "it", "pl", "ja")
FALLBACK: Final = "en"
"""Who reads another language gets this one."""

MEMBERS: Final = "members"
OTHERS: Final = "customers"
SEGMENTS: Final[Mapping[str, str]] = {
    MEMBERS: "Those with the plan premium",
    OTHERS: "Those with any other plan",
}
PLAN_OF_MEMBERS: Final = "premium"
ASSIGNED: Final = (
    (MEMBERS, "email", SPRING),
    (MEMBERS, "webhook", BASKET_EVENT),
    (OTHERS, "email", SPRING),
)
"""Which segment gets which template on which channel, in the shop's campaign."""
DESCRIPTION: Final = "15 % off what customers have put aside"
"""Of the campaign."""

PARTS: Final[Mapping[str, Mapping[str, str]]] = {
    "email": {"subject": "subject", "html": "html", "text": "txt"},
    "webhook": {"payload": "payload"},
}
"""By channel, the parts of a template and how their files' names end."""

Contents = dict[str, Any]


def segment_of(person: Mapping[str, str]) -> str:
    """The segment that a line of the campaign file belongs to."""
    return MEMBERS if person["plan"] == PLAN_OF_MEMBERS else OTHERS


def spring_template(folder: Path) -> Contents:
    """The campaign's email, with a variant for each language."""
    return {
        **contents_of(folder, "email", f"{SPRING}.{FALLBACK}"),
        "locales": {
            language: contents_of(folder, "email", f"{SPRING}.{language}")
            for language in LANGUAGES
            if language != FALLBACK
        },
    }


def shop_templates(folder: Path) -> dict[str, Contents]:
    """What the shop puts, by name."""
    return {
        SPRING: spring_template(folder),
        BASKET_EVENT: contents_of(folder, "webhook", BASKET_EVENT),
    }


def bank_templates(folder: Path) -> dict[str, Contents]:
    """What the bank puts, by name."""
    return {RESET: contents_of(folder, "email", RESET)}


def contents_of(folder: Path, channel: str, name: str) -> Contents:
    """The content that the files of this name hold."""
    return {
        channel: {
            part: (folder / f"{name}.{suffix}").read_text(encoding="utf-8")
            for part, suffix in PARTS[channel].items()
        }
    }


def story(campaign: str) -> list[str]:
    """What the shop sets up, a sentence a line."""
    lines = ["The shop sets up its campaign, all of it through the HTTP API:"]
    for segment in SEGMENTS:
        gets = [f"{template} by {channel}" for s, channel, template in ASSIGNED if s == segment]
        lines.append(f"  the segment {segment} gets template {', '.join(gets)};")
    others = len(LANGUAGES) - 1
    lines += [
        f"  {SPRING} is English, with variants for {others} more languages;",
        f"  the campaign {campaign} is started, and closed once all is posted.",
        "It names campaign and segment in each request, and no template. The emails are",
        "posted in batches; the webhooks are a file, which is dropped by SFTP.",
    ]
    return lines
