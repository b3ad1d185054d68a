"""Blocking work in a thread, with an end that is always waited for."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns.

    A thread can't be cancelled. Whoever is cancelled meanwhile goes on only when it has ended, so
    that nobody closes a file that it still writes, and what it has opened is known.
    """
    # No task: the end of the event loop would cancel that while the thread goes on.
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError:
                continue
        if not running.cancelled():
            # Read, so that asyncio does not complain of an error that nobody saw.
            running.exception()
        raise
