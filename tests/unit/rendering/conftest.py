"""Templates rendered in this process: only those that are harmless or refused at once."""

from collections.abc import Callable
from typing import Any

import pytest

from cdp.ports.renderer import RenderRefusal
from cdp.rendering.engine import Engine, render

RenderHere = Callable[..., str | RenderRefusal]


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine()


@pytest.fixture
def render_here(engine: Engine) -> RenderHere:
    """The text of a template with the keywords for data, or why there is none."""

    def render_one(source: str, *, part: str = "text", **data: Any) -> str | RenderRefusal:
        compiled = engine.compile({part: source})
        if isinstance(compiled, RenderRefusal):
            return compiled
        outcome = render(compiled, data)
        return outcome if isinstance(outcome, RenderRefusal) else outcome[part]

    return render_one
