"""What the commands share: settings, consoles, and how a refusal is told."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console

from cdp.embedded.state import EmbeddedError
from cdp.errors import CdpError, Invalid
from cdp.settings import Settings, WrongSettings, load_settings
from cdp.wiring import Wiring

T = TypeVar("T")

out = Console()
err = Console(stderr=True)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what the platform refuses into one sentence and exit status 1."""
    try:
        yield
    except Invalid as error:
        for problem in error.errors:
            _complain(f"{problem.pointer}: {problem.detail}" if problem.pointer else problem.detail)
        raise typer.Exit(1) from None
    except (CdpError, EmbeddedError, WrongSettings) as error:
        _complain(str(error))
        raise typer.Exit(1) from None


def _complain(sentence: str) -> None:
    # A sentence may quote what somebody typed, so nothing in it is markup.
    err.print(sentence, style="red", highlight=False, soft_wrap=True, markup=False)


def settings() -> Settings:
    """The settings, or one sentence of what is wrong with them."""
    try:
        return load_settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "CDP_" + str(first["loc"][0]).upper()
        raise WrongSettings(f"{name}: {first['msg']}.") from None


def with_wiring(component: str, work: Callable[[Wiring], Coroutine[Any, Any, T]]) -> T:
    """Run `work` with the parts of one process, and close them."""

    async def run() -> T:
        wiring = Wiring(settings(), component=component)
        try:
            return await work(wiring)
        finally:
            await wiring.close()

    return asyncio.run(run())
