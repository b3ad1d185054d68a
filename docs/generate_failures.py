"""The page of all reasons for which something is not delivered."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Final

from cdp.domain import failure
from cdp.domain.failure import REASONS, ErrorClass, Origin, Reason

INTRODUCTION: Final = (
    "What was accepted and could not be delivered says why, in words that stay the same: in the "
    "`failure` of each recipient's result, in the events `DELIVERY_FAILED` and `UNDELIVERABLE`, "
    "and in the [dead letters](../how-to/dead-letters.md). What is refused before it is accepted "
    "has the codes of [errors.md](errors.md)."
)
FIELDS: Final = """\
| field of `failure` | meaning |
| --- | --- |
| `class` | What it takes for another attempt to go better; see below. |
| `reason` | A word of the tables below. |
| `code` | The provider's own, such as `550 5.1.1`, or a word such as `connect_failed`; null where \
there was no attempt. |
| `provider` | Who was given the attempt; null where there was none. |
| `detail` | What the provider answered, or what the template lacks. In events and dead letters \
only. |"""
TITLES: Final = {
    Origin.PROVIDER: "Said by the provider",
    Origin.RETRIES: "Given up by the retry policy",
    Origin.CONTENT: "Without content",
    Origin.RULES: "By the delivery configuration",
}
NOTES: Final = {
    Origin.PROVIDER: "Of an attempt. What the policy does not retry is given up for this reason.",
    Origin.RETRIES: "After the last attempt; code, provider and detail are that one's.",
    Origin.CONTENT: "There was no attempt. A replay makes the content anew.",
    Origin.RULES: "There was no attempt. Change the configuration, then replay.",
}


def failures_page() -> str:
    """The classes, and the reasons by who says so."""
    return "\n\n".join([INTRODUCTION, FIELDS, "## Classes", _classes(), *_sections()])


def _classes() -> str:
    rows = [f"| `{each.value}` | {_docstring(each)} |" for each in ErrorClass]
    return "\n".join(["| class | what it takes |", "| --- | --- |", *rows])


def _sections() -> Iterator[str]:
    for origin, title in TITLES.items():
        rows = [_row(word, row) for word, row in REASONS.items() if row.origin is origin]
        table = "\n".join(["| reason | class | meaning |", "| --- | --- | --- |", *rows])
        yield from (f"## {title}", NOTES[origin], table)


def _row(word: str, row: Reason) -> str:
    error_class = "that of the last failure" if row.error_class is None else f"`{row.error_class}`"
    return f"| `{word}` | {error_class} | {row.meaning} |"


def _docstring(member: Enum) -> str:
    """The text below an enum's member, which Python itself does not keep."""
    lines = inspect.getsource(failure).splitlines()
    index = next(n for n, line in enumerate(lines) if line.strip().startswith(f"{member.name} ="))
    return lines[index + 1].strip().strip('"')
