"""Writes the pages of `docs/reference` that follow from the code. `make docs` runs it.

A house test compares each page with what this would write, so that none can be out of date.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cdp import errors, telemetry
from cdp.domain.event import FINAL, LEGAL_AFTER, STATUS_AFTER, UNNUMBERED, EventName
from cdp.errors import CdpError
from cdp.http.problems import PROBLEMS, TYPE_PREFIX
from cdp.settings import Settings
from docs.generate_cli import cli_page
from docs.generate_codes import refusal_codes
from docs.generate_failures import failures_page
from docs.generate_http import http_page
from docs.generate_providers import providers_page

FOLDER: Final = Path(__file__).parent / "reference"
NOTE: Final = "<!-- Written by `make docs`. Change the code that it names, not this page. -->"

MEANINGS: Final[Mapping[EventName, str]] = {
    EventName.CREATED: "The request was accepted and is durable.",
    EventName.CONTENT_RESOLVED: "The Message Service has rendered content and sender.",
    EventName.SCHEDULED: "It waits until a time: `send_at`, a retry, a change by its client; or "
    "for its campaign.",
    EventName.QUEUED: "It was put into a delivery queue, which the event names.",
    EventName.DELIVERY_ATTEMPTED: "A worker has claimed it and is about to send.",
    EventName.DELIVERY_SUCCEEDED: "The provider has taken it.",
    EventName.DELIVERY_FAILED: "The attempt failed, or nobody knows (`outcome: unknown`).",
    EventName.CANCELLED: "Its client took it back in time.",
    EventName.EXPIRED: "`expires_at` passed before an attempt began.",
    EventName.SUPPRESSED: "Its recipient must not be written to, or not so often.",
    EventName.UNDELIVERABLE: "It was given up; the event says why.",
    EventName.REPLAYED: "An undeliverable one was opened again, by whom the event says.",
    EventName.OPENED: "The message was looked at: by a person, or a machine (`is_machine`).",
    EventName.READ: "The message was read, as the client's own app says.",
    EventName.CLICKED: "A link was followed, by a person or a machine; the event has its URL.",
    EventName.DELIVERY_CONFIRMED: "The provider confirmed delivery. Nothing records it yet.",
    EventName.BOUNCED: "It came back after it was taken. Nothing records it yet.",
    EventName.COMPLAINED: "The recipient called it spam. Nothing records it yet.",
    EventName.UNSUBSCRIBED: "The recipient opted out.",
}


def main() -> int:
    """Write every page that differs from what stands there."""
    for name, page in PAGES.items():
        path = FOLDER / name
        text = page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: docs/reference/{name}")
    return 0


def page(title: str, source: str, *paragraphs: str) -> str:
    """A page with its head."""
    return "\n\n".join([NOTE, f"# {title}", f"From `{source}`.", *paragraphs]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a pipe in a cell would end it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', chr(92) + '|') for c in r)} |" for r in lines)


def settings_page() -> str:
    """Every `CDP_*` variable."""
    rows = [
        (f"`CDP_{name.upper()}`", kind(field), default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return page(
        "Settings",
        "cdp/settings.py",
        "Every setting is an environment variable. A `CDP_*` variable that is not in this table "
        "is refused, since a misspelt name would otherwise change nothing in silence.",
        table(("variable", "kind", "default", "meaning"), rows),
    )


def kind(field: FieldInfo) -> str:
    """What kind of value a setting takes, in words."""
    wanted = field.annotation
    if get_origin(wanted) in (Union, UnionType):
        wanted = next(part for part in get_args(wanted) if part is not NoneType)
    if get_origin(wanted) is Literal:
        return " or ".join(f"`{word}`" for word in get_args(wanted))
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return " or ".join(f"`{member.value}`" for member in wanted)
    bounds = [m for m in field.metadata if getattr(m, "gt", None) == 0]
    word = _WORDS[wanted]
    return f"{word} above 0" if bounds else word


_WORDS: Final[Mapping[Any, str]] = {
    bool: "`true` or `false`",
    float: "number",
    int: "whole number",
    Path: "path",
    SecretStr: "secret",
    str: "text",
}


def default(field: FieldInfo) -> str:
    """The value of a setting that is not set."""
    value = field.default
    if value is None or value == "":
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def events_page() -> str:
    """Every event, and what may come before it."""
    numbered = [
        (f"`{name}`", MEANINGS[name], _before(before), f"`{STATUS_AFTER[name]}`", _final(name))
        for name, before in LEGAL_AFTER.items()
    ]
    others = [(f"`{name}`", MEANINGS[name]) for name in EventName if name in UNNUMBERED]
    return page(
        "Events",
        "cdp/domain/event.py",
        "A communication's log is a list of events that are inserted and never changed. The "
        "numbered ones move it: each has the number of the one before plus 1, and since two "
        "events of one number would need the same `_id`, exactly one writer wins each number.",
        "## Numbered events",
        table(("event", "meaning", "may follow", "status after it", "final"), numbered),
        "## Events without a number",
        "They may come at any time after an attempt and move nothing. Told twice, they are "
        "stored once.",
        table(("event", "meaning"), others),
    )


def _before(names: Iterable[EventName]) -> str:
    order = list(EventName)
    return ", ".join(f"`{name}`" for name in sorted(names, key=order.index)) or "nothing: it is 1"


def _final(name: EventName) -> str:
    return "yes" if name in FINAL else ""


def errors_page() -> str:
    """Every refusal: its status, its type, its sentence, and the codes of fields."""
    rows = [
        (str(p.status), f"`{TYPE_PREFIX}{p.slug}`", p.title, sentence(cls))
        for cls, p in sorted(PROBLEMS.items(), key=lambda row: (row[1].status, row[1].slug))
    ]
    tree = (errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
    codes = [(f"`{code}`", text) for code, text in refusal_codes()]
    return page(
        "Errors",
        "cdp/errors.py` and `cdp/http/problems.py",
        "A refusal is an `application/problem+json` (RFC 9457) with `type`, `title`, `status` "
        "and `detail`. An `invalid` one has `errors` too: for each field a JSON pointer "
        "(RFC 6901), a code that stays the same, and a sentence. Those of status 429 and 503 "
        "have `Retry-After`.",
        table(("status", "type", "title", "meaning"), rows),
        "## Codes of fields",
        "Besides these, a field may have a code of pydantic, such as `missing`, "
        "`extra_forbidden`, `string_type` or `string_too_long`.",
        table(("code", "sentence"), codes),
        "## In the code",
        f"```text\n{tree}\n```",
    )


def sentence(error: type[CdpError]) -> str:
    """An error's docstring in one line."""
    return " ".join((error.__doc__ or "").split())


def metrics_page() -> str:
    """Every metric."""
    sections: list[str] = []
    for title, metrics, suffix in (
        ("Counters", telemetry.COUNTERS, "_total"),
        ("Gauges", telemetry.GAUGES, ""),
        ("Histograms", telemetry.HISTOGRAMS, ""),
    ):
        rows = [
            (f"`{name}{suffix}`", ", ".join(f"`{label}`" for label in labels), text)
            for name, (text, labels) in metrics.items()
        ]
        sections += [f"## {title}", table(("metric", "labels", "meaning"), rows)]
    return page(
        "Metrics",
        "cdp/telemetry.py",
        "One scrape of `GET /v1/metrics` sees the whole platform, in Prometheus' text format: "
        "each process sends its values to the Supervisor with its heartbeat, and what a dead "
        "process had counted is kept. Histograms of seconds have the buckets "
        f"{', '.join(f'{bound:g}' for bound in telemetry.SECONDS)}.",
        *sections,
    )


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "events.md": events_page,
    "errors.md": errors_page,
    "failures.md": lambda: page("Failures", "cdp/domain/failure.py", failures_page()),
    "providers.md": lambda: page("Providers", "cdp/providers/registry.py", providers_page()),
    "metrics.md": metrics_page,
    "cli.md": lambda: page("Command line", "cdp/cli/main.py", cli_page()),
    "http-api.md": lambda: page("HTTP API", "cdp/http/openapi.py", http_page()),
}

if __name__ == "__main__":
    sys.exit(main())
