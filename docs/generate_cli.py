"""The page of the command line, from the Typer application itself."""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from cdp.cli.main import app


def cli_page() -> str:
    """Every command with its usage, its options and its example."""
    root = typer.main.get_command(app)
    return "\n\n".join(
        ["Every refusal is one sentence on standard error and exit status 1.", *_commands(root)]
    )


def _commands(command: Any, path: str = "cdp") -> Iterator[str]:
    children = getattr(command, "commands", {})
    if children:
        for name, child in children.items():
            yield from _commands(child, f"{path} {name}")
        return
    yield f"## `{path}`"
    yield _text(command)
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        yield "\n".join(["| option | meaning | default |", "| --- | --- | --- |", *rows])


def _text(command: Any) -> str:
    text = inspect.cleandoc(command.help or "").replace("\f", "")
    said, _, example = text.partition("Example:")
    said = " ".join(said.split())
    return f"{said}\n\n```sh\n{example.strip()}\n```" if example else said


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = "" if default in (None, False, "") or callable(default) else f"`{default}`"
    if parameter.required:
        shown = "required"
    return f"| {name} | {' '.join((getattr(parameter, 'help', '') or '').split())} | {shown} |"
