"""The page of all kinds of providers: what each takes, and what its answers mean."""

import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import PydanticUndefined

from cdp.ports.provider import FailureClass
from cdp.providers.registry import PROVIDERS
from cdp.providers.settings import is_operators
from cdp.services.provider_kinds import kind_of

INTRODUCTION: Final = (
    "What can be named as `kind` of [a provider](../how-to/set-up-a-provider.md). The same is in "
    "`GET /v1/provider-kinds`, as JSON schemas. Settings in bold are credentials: they are "
    "encrypted at rest and never given back. What a failure leads to is in "
    "[failures.md](failures.md)."
)
KEYS: Final[Mapping[str, str]] = {
    "email.smtp": "The same Message-ID and the same bytes in every attempt.",
    "push.apns": "The same `apns-id` in every attempt.",
    "push.web": "The same `Topic` in every attempt: a repeat takes the place of the first.",
    "webhook.standard": "The same `webhook-id` in every attempt.",
    "in_app.inbox": "The entry's id is the communication's: a repeat is no second entry.",
}
NO_KEY: Final = "It takes no idempotency key: an attempt with an unknown outcome may be doubled."


def providers_page() -> str:
    """Every kind, by channel."""
    return "\n\n".join([INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    for kind, path in PROVIDERS.items():
        module = importlib.import_module(path.partition(":")[0])
        yield f"## `{kind}`"
        yield _prose(module)
        yield f"Repeats: {KEYS.get(kind, NO_KEY)}"
        yield _settings(kind)
        failures = dict(getattr(module, "FAILURES", {}))
        for code, words, failure in getattr(module, "BY_WORDS", ()):
            failures[f"{code}: … {words} …"] = failure
        if failures:
            yield _failures(failures)


def _prose(module: Any) -> str:
    text = inspect.cleandoc(module.__doc__ or "")
    return "\n\n".join(part.replace("\n", " ") for part in text.split("\n\n"))


def _settings(kind: str) -> str:
    known = kind_of(kind)
    rows = [_row(name, known.secrets, field) for name, field in known.model.model_fields.items()]
    if not rows:
        return "It has no settings."
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def _row(name: str, secrets: tuple[str, ...], field: Any) -> str:
    shown = f"**`{name}`**" if name in secrets else f"`{name}`"
    default = field.default
    said = "needed" if default is PydanticUndefined else "" if default is None else f"`{default}`"
    described = (field.description or "").replace("|", "\\|")
    if is_operators(field):
        described = f"Only the operator may set it. {described}".strip()
    return f"| {shown} | {said} | {described} |"


def _failures(failures: Mapping[Any, FailureClass]) -> str:
    rows = [
        f"| `{failure.value}` | {', '.join(f'`{code}`' for code in _codes(failures, failure))} |"
        for failure in FailureClass
        if failure in failures.values()
    ]
    head = ["| failure | its answers |", "| --- | --- |"]
    return "\n".join([*head, *rows])


def _codes(failures: Mapping[Any, FailureClass], failure: FailureClass) -> list[Any]:
    return [code for code, each in failures.items() if each is failure]
