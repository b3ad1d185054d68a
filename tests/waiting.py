"""Waiting for a condition with a deadline, instead of sleeping for a while and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")

POLL_S: Final = 0.02


def arrives(value: T, *, after_s: float) -> asyncio.Future[T]:
    """What a peer sends after a while. This is its pace; nothing is waited for with it."""
    loop = asyncio.get_running_loop()
    arrival: asyncio.Future[T] = loop.create_future()

    def arrive() -> None:
        # Whoever waited for it may have given up.
        if not arrival.done():
            arrival.set_result(value)

    loop.call_later(after_s, arrive)
    return arrival


@overload
async def eventually(condition: Callable[[], Awaitable[T | None]], within_s: float) -> T: ...
@overload
async def eventually(condition: Callable[[], T | None], within_s: float) -> T: ...
async def eventually(condition: Callable[[], Any], within_s: float) -> Any:
    """Wait until `condition`, which may be async, gives something true, and return that.

    An AssertionError of the condition counts as "not yet"; any other error ends the wait.

    Raises:
        AssertionError: it does not within this time; it says what the condition last said.
    """
    give_up_at = time.monotonic() + within_s
    while True:
        try:
            said = condition()
            if inspect.isawaitable(said):
                said = await said
        except AssertionError as error:
            said, why = None, str(error)
        else:
            why = repr(said)
        if said:
            return said
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"not within {within_s:g} s; at last: {why}")
        await asyncio.sleep(POLL_S)


def eventually_sync(condition: Callable[[], T | None], within_s: float) -> T:
    """The same where there is no event loop."""
    give_up_at = time.monotonic() + within_s
    while True:
        said: T | None = None
        try:
            said = condition()
            why = repr(said)
        except AssertionError as error:
            why = str(error)
        if said:
            return said
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"not within {within_s:g} s; at last: {why}")
        time.sleep(POLL_S)
