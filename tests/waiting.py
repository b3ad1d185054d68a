"""Waiting for a condition with a deadline, instead of sleeping for a while and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

POLL_S: Final = 0.02


async def eventually(condition: Callable[[], T | Awaitable[T]], within_s: float) -> T:
    """Wait until `condition`, which may be async, gives something true, and return that.

    Only an AssertionError of the condition counts as "not yet"; any other error ends the wait.

    Raises:
        AssertionError: it does not within this time; it says what the condition last said.
    """
    give_up_at = time.monotonic() + within_s
    while True:
        said: Any
        try:
            said = condition()
            if inspect.isawaitable(said):
                said = await said
        except AssertionError as error:
            said, why = None, f"{error}"
        else:
            why = f"{said!r}"
        if said:
            return cast(T, said)
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"not within {within_s:g} s; at last: {why}")
        await asyncio.sleep(POLL_S)


def eventually_sync(condition: Callable[[], T], within_s: float) -> T:
    """The same where there is no event loop."""
    give_up_at = time.monotonic() + within_s
    while True:
        try:
            said, why = condition(), ""
        except AssertionError as error:
            said, why = None, f"{error}"  # type: ignore[assignment]
        if said:
            return said
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"not within {within_s:g} s; at last: {why or repr(said)}")
        time.sleep(POLL_S)
